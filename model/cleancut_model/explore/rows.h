/*
 * The search that keeps a bit for each state. The drives are in two halves. A row is what the globals
 * and the left half are, a column what the right half is; a state is a bit of its row, at its column.
 * A step of the left half alone moves all states of a row at once, whatever their columns are. A step
 * of the right half alone is known for each pair of globals and column. What both halves do together
 * depends on little of either; where that is nothing is known for all columns that are alike.
 *
 * It keeps a row's bits up to its last column, so it is no use where few of a row's bits are set: the
 * limit `sparse` says so.
 */

#include "numbers.h"
#include "bits.h"
#include "halves.h"

#define TAKEN_AT_ONCE 8 /* rows */
#define MOST_GLOBALS (1u << 16)
#define MOST_ROWS (1u << 22)
#define MOST_COLUMNS (1u << 20)
#ifndef SPARSE
#define SPARSE 64 /* bytes for each state, from which on it is no use */
#endif
#ifndef FEW
#define FEW (256u << 20) /* bytes, up to which it is of use always */
#endif

static uint32_t *this_level, this_n, this_at;

static const word *state_at(const worker *me)
{
    return me->state;
}

static uint64_t place_at(const worker *me)
{
    return 0;
}

static uint64_t bytes_now(void)
{
    return claimed + bytes_of(&globals) + bytes_of(&columns) + bytes_of(&rows)
           + bytes_of(&classes) + bytes_of(&column_classes) + classes.n * sizeof(row_class)
           + columns.n * sizeof(uint32_t) + rows.n * sizeof(row) + threads * sizeof(worker);
}

/* ---- what is reached under other globals */

HOT word *under(worker *me, uint32_t number)
{
    scratch *one = &me->under[number];
    if (!one->bits) {
        one->bits = reserve(MOST_COLUMNS / 8);
        __atomic_fetch_add(&claimed, columns.n / 8, __ATOMIC_RELAXED);
    }
    if (!one->used) {
        one->used = 1;
        me->used[me->used_n++] = number;
    }
    return one->bits;
}

/* The uses of what is said under these globals, of so many columns at least. */
static uint32_t *uses_of(worker *me, uint32_t number, uint32_t room)
{
    scratch *one = &me->under[number];
    if (one->room < room) {
        room = room > 2 * one->room ? room : 2 * one->room;
        uint32_t *more = claim(room * sizeof(uint32_t));
        if (one->room)
            memcpy(more, one->uses, one->room * sizeof(uint32_t));
        __atomic_fetch_sub(&claimed, one->room * sizeof(uint32_t), __ATOMIC_RELAXED);
        free(one->uses);
        one->uses = more;
        one->room = room;
    }
    return one->uses;
}

/* ---- expansion */

HOT uint32_t trimmed(const word *bits, uint32_t n)
{
    while (n && !(bits[n - 1] | bits[n - 2] | bits[n - 3] | bits[n - 4]))
        n -= WIDTH;
    return n;
}

/* The states of a row that are to be expanded now, and how many words they are. */
static uint32_t take_fresh(worker *me, row *one)
{
    hold(&one->busy);
    uint32_t n = trimmed(bits_for(one, parity), one->room);
    memcpy(me->fresh, bits_for(one, parity), n * sizeof(word));
    memset(bits_for(one, parity), 0, n * sizeof(word));
    one->listed[parity & 1] = 0;
    release(&one->busy);
    return n;
}

static void add_scratch(worker *me, const word *key)
{
    uint32_t known = (columns.n + 63) / 64;
    known = (known + WIDTH - 1) / WIDTH * WIDTH;
    for (uint32_t i = 0; i < me->used_n; i++) {
        scratch *one = &me->under[me->used[i]];
        const word *now_under = globals.keys[me->used[i]];
        word other[WORDS];
        for (int w = 0; w < WORDS; w++)
            other[w] = (key[w] & ~shared[w]) | now_under[w];
        uint32_t n = trimmed(one->bits, known);
        add(me, number_of(&rows, other), one->bits, n);
        memset(one->bits, 0, n * sizeof(word));
        one->used = 0;
    }
    me->used_n = 0;
}

/* The steps of the right half, of both, and whether each of these states goes on. */
HOT void expand_word(worker *me, const row *one, const word *key, uint32_t i, uint32_t *uses)
{
    word *same = under(me, one->globals);
    word noisy = me->fresh[i] & ~quiet_at(one, i), stuck = 0;
    for (word bits = me->fresh[i]; bits; bits &= bits - 1) {
        uint32_t column = i * 64 + __builtin_ctzll(bits);
        said *there = said_of(me, one->globals, column);
        uses[column]++;
        uint32_t j = 0;
        for (; j < there->stays; j++)
            put(same, there->jumps[j].column);
        for (; j < there->n; j++)
            put(under(me, there->jumps[j].globals), there->jumps[j].column);
        if (!(there->says & GOES_ON))
            stuck |= bits & -bits;
    }
    if (one->says & GOES_ON)
        stuck = 0;
    for (word bits = noisy; bits; bits &= bits - 1)
        if (together(me, one, key, i * 64 + __builtin_ctzll(bits)) & GOES_ON)
            stuck &= ~(bits & -bits);
    if (!stuck && !(LOOKED_FOR & ~seen))
        return;
    for (word bits = me->fresh[i]; bits; bits &= bits - 1) {
        for (int w = 0; w < WORDS; w++)
            me->state[w] = key[w] | columns.keys[i * 64 + __builtin_ctzll(bits)][w];
        if (LOOKED_FOR & ~seen)
            look(me->state, me);
        if (stuck & bits & -bits && !may_stop(me->state))
            broken(me, DEADLOCK, 0, 0);
    }
}

static void expand_row(worker *me, uint32_t number)
{
    row *one = &row_of[number];
    const word *key = rows.keys[number];
    uint32_t n = take_fresh(me, one);
    if (!one->ready)
        prepare(me, one, key);
    uint64_t states = ones(me->fresh, n);
    for (uint32_t i = 0; i < one->moves_n; i++) {
        me->taken[one->moves[i].action] += states;
        add(me, one->moves[i].to, me->fresh, n);
    }
    uint32_t *uses = uses_of(me, one->globals, n * 64);
    for (uint32_t i = 0; i < n; i++)
        if (me->fresh[i])
            expand_word(me, one, key, i, uses);
    add_scratch(me, key);
}

/* ---- levels */

static void look_at_bytes(void)
{
    uint64_t bytes = bytes_now();
    if (max_bytes && bytes > max_bytes)
        stop_at("memory");
    if (too_many || (bytes > FEW && bytes > SPARSE * count))
        stop_at("sparse");
}

static void work(worker *me, int first)
{
    while (!done) {
        uint32_t at = __atomic_fetch_add(&this_at, TAKEN_AT_ONCE, __ATOMIC_RELAXED);
        if (at >= this_n)
            break;
        if (first) {
            look_at_limits();
            look_at_bytes();
        }
        for (uint32_t i = at; i < this_n && i < at + TAKEN_AT_ONCE && !done; i++)
            expand_row(me, this_level[i]);
        __atomic_fetch_add(&count, me->added, __ATOMIC_RELAXED);
        me->added = 0;
    }
}

static void gather(void)
{
    uint32_t n = 0;
    for (int i = 0; i < threads; i++)
        n += workers[i]->next_n;
    free(this_level);
    this_level = allocate(n * sizeof(uint32_t) + 1);
    this_n = this_at = 0;
    for (int i = 0; i < threads; i++) {
        worker *one = workers[i];
        memcpy(this_level + this_n, one->next, one->next_n * sizeof(uint32_t));
        this_n += one->next_n;
        one->next_n = 0;
    }
    parity++;
}

/* Between two levels, alone. */
static void between(void)
{
    gather();
    if (found.kind || !this_n)
        done = 1;
    else
        depth++;
    look_at_bytes();
}

static void start(void)
{
    make_numbers(&globals, MOST_GLOBALS);
    make_numbers(&columns, MOST_COLUMNS);
    make_numbers(&rows, MOST_ROWS);
    make_numbers(&classes, MOST_ROWS);
    make_numbers(&column_classes, MOST_COLUMNS);
    class_of = reserve(MOST_ROWS * sizeof(row_class));
    class_of_column = reserve(MOST_COLUMNS * sizeof(uint32_t));
    columns_of = reserve(MOST_COLUMNS * sizeof(set *));
    row_of = reserve(MOST_ROWS * sizeof(row));
    sayings_of = reserve(MOST_GLOBALS * sizeof(sayings *));
    for (int i = 0; i < threads; i++) {
        worker *me = workers[i] = allocate(sizeof(worker));
        me->fresh = reserve(MOST_COLUMNS / 8);
        me->under = reserve(MOST_GLOBALS * sizeof(scratch));
        me->used = reserve(MOST_GLOBALS * sizeof(uint32_t));
    }
    word state[WORDS];
    memcpy(state, initial, sizeof state);
    add_state(workers[0], state);
    count = workers[0]->added;
    workers[0]->added = 0;
    gather();
}

/* The steps of the right half, as often as a worker has used what is said of them. */
static void count_jumps(const worker *me, uint32_t under, uint64_t *taken)
{
    const scratch *mine = &me->under[under];
    for (uint32_t column = 0; column < mine->room; column++) {
        if (!mine->uses[column])
            continue;
        const said *there = sayings_of[under]->at[column];
        for (uint32_t j = 0; j < there->n; j++)
            taken[there->jumps[j].action] += mine->uses[column];
    }
}

static void count_taken(uint64_t *taken)
{
    for (int i = 0; i < threads; i++) {
        count_all_uses(&workers[i]->memories, taken);
        for (int a = 0; a < ACTIONS; a++)
            taken[a] += workers[i]->taken[a];
        for (uint32_t under = 0; under < globals.n; under++)
            count_jumps(workers[i], under, taken);
    }
}

static uint64_t represented(void)
{
    if (!SYMMETRY)
        return count;
    uint64_t all = 0, *alike_columns = allocate(columns.n * sizeof(uint64_t));
    for (uint32_t i = 0; i < columns.n; i++)
        alike_columns[i] = alike(columns.keys[i]);
    for (uint32_t number = 0; number < rows.n; number++) {
        uint64_t of_row = 0;
        for (uint32_t i = 0; i < row_of[number].room; i++)
            for (word bits = row_of[number].bits[i]; bits; bits &= bits - 1)
                of_row += alike_columns[i * 64 + __builtin_ctzll(bits)];
        all += of_row * alike(rows.keys[number]);
    }
    return all;
}

/* Runs and the graph are of the search state by state: the kernel is not asked for them here. */

static void print_path(void)
{
}

static void write_graph(worker *me, const char *states, const char *steps)
{
}

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

#define TAKEN_AT_ONCE 8 /* rows */
#define MOST_ROWS (1u << 22)
#define MOST_COLUMNS (1u << 20)
#ifndef SPARSE
#define SPARSE 64 /* bytes for each state, from which on it is no use */
#endif
#ifndef FEW
#define FEW (256u << 20) /* bytes, up to which it is of use always */
#endif

typedef word words __attribute__((vector_size(32), aligned(8)));
#define WIDTH (sizeof(words) / sizeof(word))

/* A step that every state of a row can take. */
typedef struct {
    uint32_t to, action;
} move;

typedef struct {
    uint8_t busy, ready, says, listed[2];
    uint32_t globals, class, room, moves_n;
    word *bits; /* room words: visited; to be expanded on even levels; on odd levels */
    move *moves;
} row;

/* A step of the right half. */
typedef struct {
    uint32_t column, globals, action;
} jump;

/* What the right half does at a column under these globals. */
typedef struct {
    uint32_t stays, n; /* the first do not change the globals */
    uint8_t says;
    jump jumps[];
} said;

typedef struct {
    uint32_t room;
    said *at[]; /* column */
} sayings;

/* A set of numbers; it is replaced when it grows, and stays for those who are looking at it. */
typedef struct {
    uint32_t room; /* words */
    word bits[];
} set;

/* Rows whose part in what both halves do is the same. */
typedef struct {
    set *quiet;  /* columns with which the halves do nothing together */
    set *silent; /* classes of columns with which they do nothing */
} row_class;

/* What a worker keeps for each value of the globals. */
typedef struct {
    word *bits; /* of the row in the making: what is reached from one row under these globals */
    int used;
    uint32_t *uses, room; /* how often what is said of a column was used */
} scratch;

struct worker {
    uint32_t *next, next_n, next_room; /* rows of the next level */
    uint64_t added;
    word state[WORDS]; /* the one that is looked at */
    word *fresh;
    scratch *under; /* globals, by number */
    uint32_t *used, used_n;
    uint64_t taken[ACTIONS];
    memory all; /* that a half answers */
    change changes[ACTIONS];
    memories memories; /* of what both halves do */
};

static numbers globals, columns, rows, classes, column_classes;
static row_class *class_of; /* by number */
static set **columns_of; /* by number of a class of columns */
static uint32_t *class_of_column; /* by number, plus one; 0 where it is not known */
static row *row_of; /* by number */
static sayings **sayings_of; /* by number of the globals */
static uint32_t *this_level, this_n, this_at;
static uint64_t claimed; /* bytes */
static unsigned parity;

static const word *state_at(const worker *me)
{
    return me->state;
}

static uint64_t place_at(const worker *me)
{
    return 0;
}

static void *claim(uint64_t bytes)
{
    __atomic_fetch_add(&claimed, bytes, __ATOMIC_RELAXED);
    return allocate(bytes);
}

static uint64_t bytes_now(void)
{
    return claimed + bytes_of(&globals) + bytes_of(&columns) + bytes_of(&rows)
           + bytes_of(&classes) + bytes_of(&column_classes) + classes.n * sizeof(row_class)
           + columns.n * sizeof(uint32_t) + rows.n * sizeof(row) + threads * sizeof(worker);
}

/* ---- rows */

static void masked(word *key, const word *state, const word *mask)
{
    for (int i = 0; i < WORDS; i++)
        key[i] = state[i] & mask[i];
}

static uint32_t number_under(numbers *all, const word *state, const word *mask)
{
    word key[WORDS];
    masked(key, state, mask);
    return number_of(all, key);
}

static inline void hold(row *one)
{
#if THREADS > 1
    unsigned tries = 0;
    while (__atomic_exchange_n(&one->busy, 1, __ATOMIC_ACQUIRE))
        while (__atomic_load_n(&one->busy, __ATOMIC_RELAXED))
            if (++tries % 64 == 0)
                sched_yield();
#endif
}

static inline void release(row *one)
{
#if THREADS > 1
    __atomic_store_n(&one->busy, 0, __ATOMIC_RELEASE);
#endif
}

static inline word *bits_for(const row *one, unsigned level)
{
    return one->bits + one->room * (1 + (level & 1));
}

static void widen(row *one, uint32_t room)
{
    uint32_t known = (columns.n + 63) / 64;
    if (room < one->room + one->room / 2)
        room = one->room + one->room / 2;
    if (room > known)
        room = known;
    room = (room + WIDTH - 1) / WIDTH * WIDTH;
    word *bits = claim(3 * room * sizeof(word));
    for (int i = 0; i < 3 && one->room; i++)
        memcpy(bits + i * room, one->bits + i * one->room, one->room * sizeof(word));
    __atomic_fetch_sub(&claimed, 3 * one->room * sizeof(word), __ATOMIC_RELAXED);
    free(one->bits);
    one->bits = bits;
    one->room = room;
}

static void list(worker *me, uint32_t number)
{
    if (me->next_n == me->next_room) {
        me->next_room = me->next_room ? 2 * me->next_room : 1024;
        me->next = realloc(me->next, me->next_room * sizeof(uint32_t));
        if (!me->next)
            no_memory(me->next_room * sizeof(uint32_t));
    }
    me->next[me->next_n++] = number;
}

static inline uint64_t ones(const word *bits, uint32_t n)
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < n; i++)
        all += __builtin_popcountll(bits[i]);
    return all;
}

/* Add states to a row; `n` words, a multiple of WIDTH. */
static void add(worker *me, uint32_t number, const word *bits, uint32_t n)
{
    row *one = &row_of[number];
    uint64_t added = 0;
    hold(one);
    if (__builtin_expect(one->room < n, 0))
        widen(one, n);
    word *visited = one->bits, *next = bits_for(one, parity + 1);
    for (uint32_t i = 0; i < n; i += WIDTH) {
        words new = *(const words *)(bits + i) & ~*(words *)(visited + i);
        uint64_t found = ones((const word *)&new, WIDTH);
        if (!found)
            continue;
        *(words *)(visited + i) |= new;
        *(words *)(next + i) |= new;
        added += found;
    }
    if (added && !one->listed[(parity + 1) & 1]) {
        one->listed[(parity + 1) & 1] = 1;
        list(me, number);
    }
    release(one);
    me->added += added;
}

static void add_state(worker *me, const word *reached)
{
    word state[WORDS];
    memcpy(state, reached, sizeof state);
    canonical(state);
    uint32_t column = number_under(&columns, state, right);
    uint32_t at = column / 64;
    row *one = &row_of[number_under(&rows, state, left)];
    hold(one);
    if (__builtin_expect(one->room <= at, 0))
        widen(one, at + 1);
    word bit = 1ull << column % 64;
    if (!(one->bits[at] & bit)) {
        one->bits[at] |= bit;
        bits_for(one, parity + 1)[at] |= bit;
        me->added++;
        if (!one->listed[(parity + 1) & 1]) {
            one->listed[(parity + 1) & 1] = 1;
            list(me, one - row_of);
        }
    }
    release(one);
}

static void take(worker *me, const word *state, unsigned action)
{
    me->taken[action]++;
    add_state(me, state);
}

/* ---- what the halves do */

/* All that the parts of one side answer to a state. */
static void ask(worker *me, int side, const word *state)
{
    me->all = (memory){ .room = ACTIONS, .changes = me->changes };
    memcpy(me->state, state, sizeof me->state);
    for (int part = 0; part < PARTS; part++)
        if (sides[part] == side)
            me->all.says |= answer(part, state, me, &me->all);
}

static void prepare(worker *me, row *one, const word *key)
{
    ask(me, LEFT, key);
    one->says = me->all.says;
    one->moves_n = me->all.n;
    one->moves = claim(me->all.n * sizeof(move) + 1);
    for (unsigned i = 0; i < me->all.n; i++) {
        word after[WORDS];
        for (int w = 0; w < WORDS; w++)
            after[w] = key[w] ^ me->changes[i].change[w];
        canonical(after);
        one->moves[i] = (move){ number_of(&rows, after), me->changes[i].action };
    }
    one->globals = number_under(&globals, key, shared);
    one->class = number_under(&classes, key, reads[CONTROL]);
    one->ready = 1;
}

static sayings *wider(sayings *old, uint32_t column)
{
    uint32_t room = old ? old->room : 0;
    uint32_t more = room * 2 > column + 1 ? room * 2 : column + 1;
    sayings *all = claim(sizeof(sayings) + more * sizeof(said *));
    all->room = more;
    if (old) /* it stays, for those who are looking at it */
        memcpy(all->at, old->at, room * sizeof(said *));
    return all;
}

static said *publish(uint32_t under, uint32_t column, said *one)
{
    pthread_mutex_lock(&lock);
    sayings *all = sayings_of[under];
    if (!all || column >= all->room) {
        all = wider(all, column);
        __atomic_store_n(&sayings_of[under], all, __ATOMIC_RELEASE);
    }
    if (!all->at[column])
        __atomic_store_n(&all->at[column], one, __ATOMIC_RELEASE);
    one = all->at[column];
    pthread_mutex_unlock(&lock);
    return one;
}

static said *ask_right(worker *me, uint32_t under, uint32_t column)
{
    word state[WORDS];
    for (int w = 0; w < WORDS; w++)
        state[w] = globals.keys[under][w] | columns.keys[column][w];
    ask(me, RIGHT, state);
    said *one = claim(sizeof(said) + me->all.n * sizeof(jump));
    one->says = me->all.says;
    for (int stays = 1; stays >= 0; stays--) {
        for (unsigned i = 0; i < me->all.n; i++) {
            word after[WORDS];
            for (int w = 0; w < WORDS; w++)
                after[w] = state[w] ^ me->changes[i].change[w];
            canonical(after);
            uint32_t now_under = number_under(&globals, after, shared);
            if ((now_under == under) == stays)
                one->jumps[one->n++] = (jump){ number_under(&columns, after, right), now_under,
                                               me->changes[i].action };
        }
        if (stays)
            one->stays = one->n;
    }
    return publish(under, column, one);
}

static inline said *said_of(worker *me, uint32_t under, uint32_t column)
{
    sayings *all = __atomic_load_n(&sayings_of[under], __ATOMIC_ACQUIRE);
    if (__builtin_expect(all && column < all->room, 1)) {
        said *one = __atomic_load_n(&all->at[column], __ATOMIC_ACQUIRE);
        if (__builtin_expect(one != NULL, 1))
            return one;
    }
    return ask_right(me, under, column);
}

static word *under(worker *me, uint32_t number)
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

static inline void put(word *bits, uint32_t column)
{
    bits[column / 64] |= 1ull << column % 64;
}

/* ---- what both halves do */

static inline int has(const set *some, uint32_t number)
{
    return some && number / 64 < some->room && some->bits[number / 64] >> number % 64 & 1;
}

static set *enlarged(set **some, uint32_t room)
{
    uint32_t before = *some ? (*some)->room : 0;
    if (before >= room)
        return *some;
    if (room < 2 * before)
        room = 2 * before;
    set *more = claim(sizeof(set) + room * sizeof(word));
    more->room = room;
    if (before)
        memcpy(more->bits, (*some)->bits, before * sizeof(word));
    __atomic_store_n(some, more, __ATOMIC_RELEASE);
    return more;
}

static void include(set **some, uint32_t number)
{
    put(enlarged(some, number / 64 + 1)->bits, number);
}

/* The class of a column, which joins it now if it is in none. */
static uint32_t class_for(uint32_t column)
{
    uint32_t class = __atomic_load_n(&class_of_column[column], __ATOMIC_ACQUIRE);
    if (class)
        return class - 1;
    class = number_under(&column_classes, columns.keys[column], reads[CONTROL]);
    pthread_mutex_lock(&lock);
    include(&columns_of[class], column);
    pthread_mutex_unlock(&lock);
    __atomic_store_n(&class_of_column[column], class + 1, __ATOMIC_RELEASE);
    return class;
}

/* With these rows and the columns of this class the halves do nothing. */
static void hush(row_class *rows, uint32_t class)
{
    pthread_mutex_lock(&lock);
    const set *more = columns_of[class];
    include(&rows->silent, class);
    set *quiet = enlarged(&rows->quiet, more->room);
    for (uint32_t i = 0; i < more->room; i++)
        quiet->bits[i] |= more->bits[i];
    pthread_mutex_unlock(&lock);
}

/* What both halves do at a state. */
static unsigned together(worker *me, const row *one, const word *key, uint32_t column)
{
    row_class *rows = &class_of[one->class];
    uint32_t class = class_for(column);
    for (int w = 0; w < WORDS; w++)
        me->state[w] = key[w] | columns.keys[column][w];
    if (has(__atomic_load_n(&rows->silent, __ATOMIC_ACQUIRE), class)) {
        hush(rows, class);
        return 0;
    }
    memory *known = answer_of(me, &me->memories, me->taken, CONTROL, me->state);
    unsigned says = known->says;
    if (!known->n && !says && !known->too_many)
        hush(rows, class);
    for (unsigned i = 0; i < known->n; i++) {
        word after[WORDS];
        for (int w = 0; w < WORDS; w++)
            after[w] = me->state[w] ^ known->changes[i].change[w];
        add_state(me, after);
    }
    return says & STIRS ? says | rest(me->state, me) : says;
}

/* Columns of these 64 with which the halves do nothing together. */
static inline word quiet_at(const row *one, uint32_t i)
{
    const set *quiet = __atomic_load_n(&class_of[one->class].quiet, __ATOMIC_ACQUIRE);
    return quiet && i < quiet->room ? quiet->bits[i] : 0;
}

/* ---- expansion */

static inline uint32_t trimmed(const word *bits, uint32_t n)
{
    while (n && !(bits[n - 1] | bits[n - 2] | bits[n - 3] | bits[n - 4]))
        n -= WIDTH;
    return n;
}

/* The states of a row that are to be expanded now, and how many words they are. */
static uint32_t take_fresh(worker *me, row *one)
{
    hold(one);
    uint32_t n = trimmed(bits_for(one, parity), one->room);
    memcpy(me->fresh, bits_for(one, parity), n * sizeof(word));
    memset(bits_for(one, parity), 0, n * sizeof(word));
    one->listed[parity & 1] = 0;
    release(one);
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
static inline void expand_word(worker *me, const row *one, const word *key, uint32_t i,
                               uint32_t *uses)
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
    make_numbers(&globals, MOST_ROWS);
    make_numbers(&columns, MOST_COLUMNS);
    make_numbers(&rows, MOST_ROWS);
    make_numbers(&classes, MOST_ROWS);
    make_numbers(&column_classes, MOST_COLUMNS);
    class_of = reserve(MOST_ROWS * sizeof(row_class));
    class_of_column = reserve(MOST_COLUMNS * sizeof(uint32_t));
    columns_of = reserve(MOST_COLUMNS * sizeof(set *));
    row_of = reserve(MOST_ROWS * sizeof(row));
    sayings_of = reserve(MOST_ROWS * sizeof(sayings *));
    for (int i = 0; i < threads; i++) {
        worker *me = workers[i] = allocate(sizeof(worker));
        me->fresh = reserve(MOST_COLUMNS / 8);
        me->under = reserve(MOST_ROWS * sizeof(scratch));
        me->used = reserve(MOST_ROWS * sizeof(uint32_t));
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

static void print_path(void)
{
}

static void write_graph(worker *me, const char *states, const char *steps)
{
}

/*
 * The rows of the search by rows: each has a bit for every column, up to the last that is set.
 */

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

static numbers globals, columns, rows;
static row *row_of; /* by number */
static unsigned parity; /* of the level */
static uint64_t claimed; /* bytes */

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

static void *claim(uint64_t bytes)
{
    __atomic_fetch_add(&claimed, bytes, __ATOMIC_RELAXED);
    return allocate(bytes);
}

static uint32_t number_under(numbers *all, const word *state, const word *mask)
{
    word key[WORDS];
    for (int i = 0; i < WORDS; i++)
        key[i] = state[i] & mask[i];
    return number_of(all, key);
}

HOT void hold(uint8_t *busy)
{
#if THREADS > 1
    unsigned tries = 0;
    while (__atomic_exchange_n(busy, 1, __ATOMIC_ACQUIRE))
        while (__atomic_load_n(busy, __ATOMIC_RELAXED))
            if (++tries % 64 == 0)
                sched_yield();
#endif
}

HOT void release(uint8_t *busy)
{
#if THREADS > 1
    __atomic_store_n(busy, 0, __ATOMIC_RELEASE);
#endif
}

HOT word *bits_for(const row *one, unsigned level)
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

/* List a row for the next level, once. */
static void list(worker *me, row *one)
{
    uint8_t *listed = &one->listed[(parity + 1) & 1];
    if (*listed)
        return;
    *listed = 1;
    if (me->next_n == me->next_room) {
        me->next_room = me->next_room ? 2 * me->next_room : 1024;
        me->next = realloc(me->next, me->next_room * sizeof(uint32_t));
        if (!me->next)
            no_memory(me->next_room * sizeof(uint32_t));
    }
    me->next[me->next_n++] = one - row_of;
}

HOT uint64_t ones(const word *bits, uint32_t n)
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
    hold(&one->busy);
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
    if (added)
        list(me, one);
    release(&one->busy);
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
    hold(&one->busy);
    if (__builtin_expect(one->room <= at, 0))
        widen(one, at + 1);
    word bit = 1ull << column % 64;
    if (!(one->bits[at] & bit)) {
        one->bits[at] |= bit;
        bits_for(one, parity + 1)[at] |= bit;
        me->added++;
        list(me, one);
    }
    release(&one->busy);
}

static void take(worker *me, const word *state, unsigned action)
{
    me->taken[action]++;
    add_state(me, state);
}

HOT void put(word *bits, uint32_t column)
{
    bits[column / 64] |= 1ull << column % 64;
}

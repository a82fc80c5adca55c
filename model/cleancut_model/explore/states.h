/*
 * The search that keeps each state in a table (`table.h`), so that the top bit of a state's first
 * word is always set. Successors are collected in batches whose slots are prefetched. The states of
 * a level lie in blocks, which the workers take one by one.
 */

#define BLOCK 1024
#define BATCH 512
#ifndef RECENT
#define RECENT (1 << 16)
#endif

static inline void emit(worker *me, const word *state, unsigned action);

#include "table.h"
#include "graph.h"

/* ---- the levels: lists of blocks of states, each with its place in the log when tracing */

typedef struct block {
    struct block *next;
    unsigned used;
    word states[BLOCK][WORDS];
    uint64_t place[]; /* only when tracing */
} block;

static block *this_level, *next_level, *spare;
static uint64_t blocks;

static uint64_t block_bytes(void)
{
    return sizeof(block) + (tracing ? BLOCK * sizeof(uint64_t) : 0);
}

static block *new_block(void)
{
    pthread_mutex_lock(&lock);
    block *found = spare;
    if (found)
        spare = found->next;
    else
        blocks++;
    pthread_mutex_unlock(&lock);
    if (!found && !(found = malloc(block_bytes())))
        no_memory(block_bytes());
    found->used = 0;
    return found;
}

static void add_to(block **list, block *one)
{
    pthread_mutex_lock(&lock);
    one->next = *list;
    *list = one;
    pthread_mutex_unlock(&lock);
}

static block *take_block(void)
{
    pthread_mutex_lock(&lock);
    block *found = this_level;
    if (found)
        this_level = found->next;
    pthread_mutex_unlock(&lock);
    return found;
}

struct worker {
    block *in, *out;
    unsigned at;
    unsigned n; /* in the batch */
    int held;   /* a safe step is taken alone, and no other */
    word state[BATCH + ACTIONS][WORDS];
    word hash[BATCH + ACTIONS];
    uint64_t parent[BATCH + ACTIONS];
    uint16_t action[BATCH + ACTIONS];
    uint64_t taken[ACTIONS];
    uint64_t represented; /* states, by those that were kept */
    word recent[RECENT][WORDS]; /* states that were emitted last, by hash: most come again soon */
    memories memories[PARTS];
};

static volatile int full;

static const word *state_at(const worker *me)
{
    return me->in->states[me->at];
}

static uint64_t place_at(const worker *me)
{
    return me->in->place[me->at];
}

/* The log: a state's parent and the action that led to it; only when tracing. */
typedef struct { uint64_t parent; unsigned action; } origin;
static origin *origins;
static uint64_t logged, log_room;

static void log_origin(uint64_t parent, unsigned action)
{
    if (logged == log_room) {
        log_room = log_room ? log_room * 2 : 1 << 16;
        origins = realloc(origins, log_room * sizeof(origin));
        if (!origins)
            no_memory(log_room * sizeof(origin));
    }
    origins[logged++] = (origin){ parent, action };
}

static inline void emit(worker *me, const word *state, unsigned action)
{
    word hash = hash_of(state);
    word *recent = me->recent[hash % RECENT];
    word difference = 0;
    if (__builtin_expect(graph != NULL, 0)) {
        write_step(state, action);
        return;
    }
    for (int i = 0; i < WORDS; i++)
        difference |= recent[i] ^ state[i];
    if (!difference) /* it is in the table, or waits in the batch to get there */
        return;
    memcpy(recent, state, sizeof(word) * WORDS);
    unsigned n = me->n++;
    memcpy(me->state[n], state, sizeof(word) * WORDS);
    me->hash[n] = hash;
    if (__builtin_expect(tracing, 0))
        me->action[n] = action;
    __builtin_prefetch(slot_at(slot_of(hash)), 1);
}

/* A step that is not remembered. */
static void take(worker *me, const word *state, unsigned action)
{
    word after[WORDS];
    if (me->held)
        return;
    memcpy(after, state, sizeof after);
    canonical(after);
    me->taken[action]++;
    emit(me, after, action);
}

/* Check a state and emit its successors, or only that of a safe step. */
static inline void expand(const word *state, worker *me)
{
    word only[WORDS];
    int alone = REDUCE ? safe(state, only) : -1;
    me->held = alone >= 0;
    unsigned says = 0;
    for (int part = 0; part < PARTS; part++) {
        memory *known = answer_of(me, &me->memories[part], me->taken, part, state);
        says |= known->says;
        if (me->held) {
            known->uses--;
            continue;
        }
        for (unsigned i = 0; i < known->n; i++) {
            word after[WORDS];
            for (int w = 0; w < WORDS; w++)
                after[w] = state[w] ^ known->changes[i].change[w];
            canonical(after);
            emit(me, after, known->changes[i].action);
        }
    }
    if (says & STIRS)
        says |= rest(state, me);
    if (LOOKED_FOR & ~seen)
        look(state, me);
    if (__builtin_expect(!(says & GOES_ON), 0) && !may_stop(state))
        broken(me, DEADLOCK, 0, 0);
    if (me->held) {
        me->held = 0;
        take(me, only, alone);
    }
}

static void flush(worker *me)
{
    uint64_t added = 0;
    for (unsigned i = 0; i < me->n; i++) {
        if (!insert(me->state[i], me->hash[i]))
            continue;
        added++;
        me->represented += alike(me->state[i]);
        block *out = me->out;
        if (!out || out->used == BLOCK) {
            if (out)
                add_to(&next_level, out);
            me->out = out = new_block();
        }
        memcpy(out->states[out->used], me->state[i], sizeof(word) * WORDS);
        if (tracing) {
            out->place[out->used] = logged;
            log_origin(me->parent[i], me->action[i]);
        }
        out->used++;
    }
    me->n = 0;
    if (__atomic_add_fetch(&count, added, __ATOMIC_RELAXED) > limit_of_slots)
        full = 1;
}

static uint64_t bytes_now(void)
{
    return table_bytes(slots) + blocks * block_bytes() + log_room * sizeof(origin)
           + threads * sizeof(worker);
}

/* Expand blocks until none is left or the table is full. */
static void work(worker *me, int first)
{
    while (!done && !full) {
        if (!me->in) {
            if (first)
                look_at_limits();
            me->at = 0;
            if (!(me->in = take_block()))
                break;
        }
        for (; me->at < me->in->used && !done && !full; me->at++) {
            unsigned before = me->n;
            expand(me->in->states[me->at], me);
            if (tracing)
                for (unsigned i = before; i < me->n; i++)
                    me->parent[i] = me->in->place[me->at];
            if (me->n >= BATCH)
                flush(me);
        }
        if (me->at == me->in->used) {
            add_to(&spare, me->in);
            me->in = NULL;
        }
    }
    flush(me);
}

/* Between two rounds of work, alone: grow, or go on to the next level. */
static void between(void)
{
    if (full) {
        uint64_t more = slots < 1 << 22 ? slots * 4 : slots / 2 * 3;
        if (max_bytes && table_bytes(more) + bytes_now() - table_bytes(slots) > max_bytes) {
            stop_at("memory");
            return;
        }
        grow(more);
        full = 0;
        return;
    }
    for (int i = 0; i < threads; i++) {
        if (workers[i]->in)
            return;
        if (workers[i]->out)
            add_to(&next_level, workers[i]->out);
        workers[i]->out = NULL;
    }
    if (!this_level && found.kind) {
        done = 1;
    } else if (!this_level) {
        this_level = next_level;
        next_level = NULL;
        if (this_level)
            depth++;
        else
            done = 1;
    }
}

static void start(void)
{
    use_table((1 << 20) / SLOT_WORDS);
    for (int i = 0; i < threads; i++) {
        workers[i] = reserve(sizeof(worker));
        madvise(workers[i], sizeof(worker), MADV_HUGEPAGE);
        memset(workers[i], 0, sizeof(worker)); /* not in the midst of the search */
    }
    worker *me = workers[0];
    memcpy(me->state[0], initial, sizeof initial);
    me->hash[0] = hash_of(initial);
    me->n = 1;
    flush(me);
    add_to(&this_level, me->out);
    me->out = NULL;
}

static void print_path(void)
{
    static unsigned path[1 << 16];
    int n = 0;
    if (found.kind == STEP_CLAIM)
        path[n++] = found.action;
    for (uint64_t at = found.place; at; at = origins[at].parent)
        path[n++] = origins[at].action;
    printf(", \"path\": [");
    while (n--)
        printf("%u%s", path[n], n ? ", " : "");
    printf("]");
}

static void count_taken(uint64_t *taken)
{
    for (int i = 0; i < threads; i++) {
        for (int part = 0; part < PARTS; part++)
            count_all_uses(&workers[i]->memories[part], taken);
        for (int a = 0; a < ACTIONS; a++)
            taken[a] += workers[i]->taken[a];
    }
}

static uint64_t represented(void)
{
    uint64_t all = 0;
    for (int i = 0; i < threads; i++)
        all += workers[i]->represented;
    return all;
}

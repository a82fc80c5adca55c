/*
 * Breadth-first search over packed states.
 *
 * A state is WORDS words; the top bit of its first word is always set, so that an empty slot of the
 * table (`table.h`) is zero. Successors are collected in batches whose slots are prefetched. The
 * states of a level lie in blocks, which the workers take one by one. What a part of the model (a
 * drive, say) answers depends on a part of the state's bits only, and is remembered by those bits:
 * most states differ elsewhere.
 *
 * Options of the build: MODEL (the generated source), THREADS (at most), COMPACT (keep 63 bits of a
 * hash in place of the state), SYMMETRY (of states that are alike keep the one that the model's
 * `canonical` makes of them), REDUCE (where a step is safe, take it alone).
 * Arguments: the limits of states, bytes and seconds (0: none); then `trace` to keep parents, which
 * one thread does alone, or `graph STATES STEPS` to write the graph to these files.
 * Output: JSON lines, progress once a second and the result at the end.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

typedef unsigned long long word;
typedef struct worker worker;

#define PRESENT (1ull << 63)
#define BUSY 1ull /* a slot whose other words are being written */
#define BLOCK 1024
#define BATCH 512
#ifndef RECENT
#define RECENT (1 << 16)
#endif
#define MEMORIES 4096 /* of each part */
#define REMEMBERED 14 /* actions in each */

/* ---- what the generated source uses */

typedef struct memory memory;

static inline void emit(worker *me, const word *state, unsigned action);
static void take(worker *me, const word *state, unsigned action);
static void remember(memory *answer, worker *me, const word *before, const word *after,
                     unsigned action);
static void broken(worker *me, int kind, unsigned claim, unsigned action);
static inline int wanted(unsigned witness);
static void witness(unsigned number);

enum { NOTHING, STATE_CLAIM, STEP_CLAIM, DEADLOCK };

#if SYMMETRY
static inline void canonical(word *state);
static inline unsigned alike(const word *state);
#else
#define canonical(state) ((void)(state))
#define alike(state) 1u
#endif

#define EMIT(action) do { word after[WORDS] = NEXT; take(me, after, action); } while (0)
#define REMEMBER(action) \
    do { word after[WORDS] = NEXT; remember(answer, me, s, after, action); } while (0)
#define BROKEN_STATE(claim) broken(me, STATE_CLAIM, claim, 0)
#define BROKEN_STEP(action, claim) broken(me, STEP_CLAIM, claim, action)
#define WANTED(number) __builtin_expect(wanted(number), 0)
#define WITNESS(number) witness(number)

#include MODEL

#include "table.h"
#include "graph.h"

/* ---- the levels: lists of blocks of states, each with its place in the log when tracing */

typedef struct block {
    struct block *next;
    unsigned used;
    word states[BLOCK][WORDS];
    uint64_t place[]; /* only when tracing */
} block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block *this_level, *next_level, *spare;
static uint64_t blocks;
static int tracing;

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

/* ---- workers */

/* What a part of the model answers, for those bits of the state that it reads. */
struct memory {
    word key[WORDS];
    uint64_t uses;
    uint8_t n, goes_on, too_many;
    uint16_t action[REMEMBERED];
    word change[REMEMBERED][WORDS];
};

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
    memory memories[PARTS][MEMORIES];
};

static worker *workers[THREADS];
static int threads = THREADS;
static volatile int full, done, over;
static struct {
    int kind;
    unsigned claim, action;
    const word *state; /* the one from which it breaks */
    uint64_t place;
} found;
static uint64_t seen; /* witnesses, a bit each */
static const char *limit = "";
static uint64_t max_states, max_bytes, max_seconds, depth, most_bytes;

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

static inline int wanted(unsigned number)
{
    return !(seen >> number & 1);
}

static void witness(unsigned number)
{
    __atomic_fetch_or(&seen, 1ull << number, __ATOMIC_RELAXED);
}

/* Whether a claim that breaks is the one to tell of, rather than the one that is known. */
static int comes_first(const word *state, int kind, unsigned claim, unsigned action)
{
    if (!found.kind)
        return 1;
    if ((kind == STEP_CLAIM) != (found.kind == STEP_CLAIM))
        return kind != STEP_CLAIM;
    if (state != found.state || kind != found.kind)
        return 0;
    return action != found.action ? action < found.action : claim < found.claim;
}

/*
 * A claim breaks. A state that breaks one ends the search; a step that does is a step further, so
 * the rest of its level is still searched for such a state.
 */
static void broken(worker *me, int kind, unsigned claim, unsigned action)
{
    const word *state = me->in->states[me->at];
    if (kind == STEP_CLAIM && found.kind && state != found.state)
        return;
    pthread_mutex_lock(&lock);
    if (comes_first(state, kind, claim, action)) {
        found.kind = kind;
        found.claim = claim;
        found.action = action;
        found.state = state;
        found.place = tracing ? me->in->place[me->at] : 0;
    }
    if (kind != STEP_CLAIM)
        done = 1;
    pthread_mutex_unlock(&lock);
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

static void remember(memory *answer, worker *me, const word *before, const word *after,
                     unsigned action)
{
    if (answer->n == REMEMBERED) {
        answer->too_many = 1;
        take(me, after, action);
        return;
    }
    for (int i = 0; i < WORDS; i++)
        answer->change[answer->n][i] = before[i] ^ after[i];
    answer->action[answer->n++] = action;
}

static void count_uses(worker *me, const memory *one)
{
    for (unsigned i = 0; i < one->n; i++)
        me->taken[one->action[i]] += one->uses;
}

static inline memory *answer_of(worker *me, int part, const word *state)
{
    word key[WORDS], difference = 0;
    for (int i = 0; i < WORDS; i++)
        key[i] = state[i] & reads[part][i];
    key[0] |= PRESENT;
    memory *found = &me->memories[part][hash_of(key) % MEMORIES];
    for (int i = 0; i < WORDS; i++)
        difference |= found->key[i] ^ key[i];
    if (__builtin_expect(difference || found->too_many, 0)) {
        count_uses(me, found);
        found->uses = found->n = found->goes_on = found->too_many = 0;
        memcpy(found->key, key, sizeof key);
        found->goes_on = answer(part, state, me, found);
    }
    found->uses++;
    return found;
}

/* Check a state and emit its successors, or only that of a safe step. */
static inline void expand(const word *state, worker *me)
{
    word only[WORDS];
    int alone = REDUCE ? safe(state, only) : -1;
    me->held = alone >= 0;
    unsigned goes_on = rest(state, me);
    for (int part = 0; part < PARTS; part++) {
        memory *found = answer_of(me, part, state);
        goes_on |= found->goes_on;
        if (me->held) {
            found->uses--;
            continue;
        }
        for (unsigned i = 0; i < found->n; i++) {
            word after[WORDS];
            for (int w = 0; w < WORDS; w++)
                after[w] = state[w] ^ found->change[i][w];
            canonical(after);
            emit(me, after, found->action[i]);
        }
    }
    if (__builtin_expect(!goes_on, 0) && !may_stop(state))
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

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double started, told;

static uint64_t bytes_now(void)
{
    return table_bytes(slots) + blocks * block_bytes() + log_room * sizeof(origin)
           + threads * sizeof(worker);
}

static void stop_at(const char *which)
{
    limit = which;
    done = 1;
}

static void look_at_limits(void)
{
    double t = now();
    if (max_states && count > max_states)
        stop_at("states");
    if (max_seconds && t - started > max_seconds)
        stop_at("time");
    if (t - told >= 1) {
        told = t;
        printf("{\"progress\": %llu, \"depth\": %llu}\n", (unsigned long long)count,
               (unsigned long long)depth);
        fflush(stdout);
    }
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
    if (bytes_now() > most_bytes)
        most_bytes = bytes_now();
    if (done)
        return;
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

static pthread_barrier_t barrier;
#define WAIT() do { if (THREADS > 1) pthread_barrier_wait(&barrier); } while (0)

static void *run(void *argument)
{
    int number = (int)(intptr_t)argument;
    while (!over) {
        work(workers[number], number == 0);
        WAIT();
        if (number == 0) {
            between();
            over = done;
        }
        WAIT();
    }
    return NULL;
}

static void start(void)
{
    use_table((1 << 20) / SLOT_WORDS);
    for (int i = 0; i < threads; i++) {
        workers[i] = reserve(sizeof(worker));
        memset(workers[i], 0, sizeof(worker));
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

static void print_result(void)
{
    uint64_t transitions = 0, represented = 0;
    for (int i = 0; i < threads; i++) {
        represented += workers[i]->represented;
        for (int part = 0; part < PARTS; part++)
            for (int m = 0; m < MEMORIES; m++)
                count_uses(workers[i], &workers[i]->memories[part][m]);
    }
    printf("{\"states\": %llu, \"depth\": %llu, \"seconds\": %.6f, \"cpu_seconds\": %.6f, "
           "\"bytes\": %llu, \"represented\": %llu, \"limit\": \"%s\", "
           "\"kind\": %d, \"claim\": %u, \"action\": %u, \"seen\": %llu",
           (unsigned long long)count, (unsigned long long)depth, now() - started,
           (double)clock() / CLOCKS_PER_SEC, (unsigned long long)most_bytes,
           (unsigned long long)represented, limit, found.kind, found.claim, found.action,
           (unsigned long long)seen);
    if (found.kind && tracing)
        print_path();
    printf(", \"taken\": [");
    for (int a = 0; a < ACTIONS; a++) {
        uint64_t taken = 0;
        for (int i = 0; i < threads; i++)
            taken += workers[i]->taken[a];
        printf("%llu%s", (unsigned long long)taken, a + 1 < ACTIONS ? ", " : "]");
    }
    for (int i = 0; i < threads; i++)
        for (int a = 0; a < ACTIONS; a++)
            transitions += workers[i]->taken[a];
    printf(", \"transitions\": %llu}\n", (unsigned long long)transitions);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    max_states = strtoull(argv[1], NULL, 10);
    max_bytes = strtoull(argv[2], NULL, 10);
    max_seconds = strtoull(argv[3], NULL, 10);
    tracing = argc == 5;
    threads = tracing ? 1 : THREADS;
    started = told = now();
    start();
    pthread_t others[THREADS];
    pthread_barrier_init(&barrier, NULL, threads);
    for (int i = 1; i < threads; i++)
        pthread_create(&others[i], NULL, run, (void *)(intptr_t)i);
    run(NULL);
    for (int i = 1; i < threads; i++)
        pthread_join(others[i], NULL);
    if (argc > 6 && !found.kind && !limit[0])
        write_graph(workers[0], argv[5], argv[6]);
    print_result();
    return 0;
}

/*
 * Breadth-first search over packed states. A state is WORDS words.
 *
 * There are two searches. That of `states.h` keeps each state in a table, and can do all that the
 * options say. That of `rows.h` keeps a bit for each state, in a row for what one half of the drives
 * does and a column for the other half; it is several times as fast, and only counts and checks.
 *
 * Options of the build: MODEL (the generated source), THREADS (at most), ROWS (search by rows),
 * COMPACT (keep 63 bits of a hash in place of the state), SYMMETRY (of states that are alike keep
 * the one that the model's `canonical` makes of them), REDUCE (where a step is safe, take it alone).
 * Arguments: the limits of states, bytes and seconds (0: none); then, if not by rows, `trace` to
 * keep parents, which one thread does alone, or `graph STATES STEPS` to write the graph to these
 * files. Output: JSON lines, progress once a second and the result at the end.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

typedef unsigned long long word;
typedef struct worker worker;
typedef struct memory memory;

#define PRESENT (1ull << 63)
#define HOT static inline __attribute__((always_inline))

/* ---- what the generated source uses */

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

#include "search.h"
#include "memory.h"
#if ROWS
#include "rows.h"
#else
#include "states.h"
#endif

/* ---- threads */

static volatile int over;
static pthread_barrier_t barrier;
#define WAIT() do { if (THREADS > 1) pthread_barrier_wait(&barrier); } while (0)

static void *run(void *argument)
{
    int number = (int)(intptr_t)argument;
    while (!over) {
        work(workers[number], number == 0);
        WAIT();
        if (number == 0) {
            if (bytes_now() > most_bytes)
                most_bytes = bytes_now();
            if (!done)
                between();
            over = done;
        }
        WAIT();
    }
    return NULL;
}

static void print_result(void)
{
    uint64_t transitions = 0, taken[ACTIONS] = { 0 };
    count_taken(taken);
    for (int a = 0; a < ACTIONS; a++)
        transitions += taken[a];
    printf("{\"states\": %llu, \"depth\": %llu, \"seconds\": %.6f, \"cpu_seconds\": %.6f, "
           "\"bytes\": %llu, \"represented\": %llu, \"limit\": \"%s\", "
           "\"kind\": %d, \"claim\": %u, \"action\": %u, \"seen\": %llu, \"transitions\": %llu",
           (unsigned long long)count, (unsigned long long)depth, now() - started,
           (double)clock() / CLOCKS_PER_SEC, (unsigned long long)most_bytes,
           (unsigned long long)represented(), limit, found.kind, found.claim, found.action,
           (unsigned long long)seen, (unsigned long long)transitions);
    if (found.kind && tracing)
        print_path();
    printf(", \"taken\": [");
    for (int a = 0; a < ACTIONS; a++)
        printf("%llu%s", (unsigned long long)taken[a], a + 1 < ACTIONS ? ", " : "]}\n");
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

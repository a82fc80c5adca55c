/*
 * The graph: all states and the steps between them, written to two files once the search is over.
 * States are numbered in the order of the table, from 0; one is WORDS words. A step is three 32-bit
 * numbers: the state before it, the state after it, the action.
 */

static FILE *graph; /* of the steps; NULL while the search goes on */
static uint32_t *numbers; /* of the states, by slot */
static uint32_t from;

static uint64_t place_of(const word *state)
{
    uint64_t at = slot_of(hash_of(state));
    while (!is_same(slot_at(at), state))
        at = at + 1 == slots ? 0 : at + 1;
    return at;
}

static void write_all(const void *what, size_t bytes, FILE *file)
{
    if (fwrite(what, bytes, 1, file) == 1)
        return;
    printf("{\"error\": \"the graph cannot be written: is the disk full?\"}\n");
    exit(4);
}

static void write_step(const word *after, unsigned action)
{
    const uint32_t step[3] = { from, numbers[place_of(after)], action };
    write_all(step, sizeof step, graph);
}

static FILE *create(const char *name)
{
    FILE *file = fopen(name, "wb");
    if (file)
        return file;
    printf("{\"error\": \"the graph cannot be written: no file can be made\"}\n");
    exit(4);
}

static inline void expand(const word *state, worker *me);

static void write_graph(worker *me, const char *states_name, const char *steps_name)
{
    FILE *states = create(states_name);
    uint32_t n = 0;
    numbers = reserve(slots * sizeof(uint32_t));
    for (uint64_t i = 0; i < slots; i++)
        if (slot_at(i)[0]) {
            numbers[i] = n++;
            write_all(slot_at(i), sizeof(word) * WORDS, states);
        }
    graph = create(steps_name);
    for (uint64_t i = 0; i < slots; i++)
        if (slot_at(i)[0]) {
            from = numbers[i];
            expand(slot_at(i), me);
        }
    if (fclose(states) || fclose(graph)) {
        printf("{\"error\": \"the graph cannot be written: is the disk full?\"}\n");
        exit(4);
    }
}

/*
 * What a part of the model answers depends on a part of the state's bits only, and is remembered by
 * those bits: most states differ elsewhere.
 */

#define MEMORIES 4096 /* of a part */
#define REMEMBERED 14 /* steps in each */

typedef struct {
    word change[WORDS];
    uint16_t action;
} change;

struct memory {
    word key[WORDS];
    uint64_t uses;
    uint16_t n, room;
    uint8_t says, too_many;
    change *changes;
};

typedef struct {
    memory of[MEMORIES];
    change changes[MEMORIES][REMEMBERED];
} memories; /* of a part */

static void remember(memory *answer, worker *me, const word *before, const word *after,
                     unsigned action)
{
    if (answer->n == answer->room) {
        answer->too_many = 1;
        take(me, after, action);
        return;
    }
    change *one = &answer->changes[answer->n++];
    for (int i = 0; i < WORDS; i++)
        one->change[i] = before[i] ^ after[i];
    one->action = action;
}

static void count_uses(const memory *one, uint64_t *taken)
{
    for (unsigned i = 0; i < one->n; i++)
        taken[one->changes[i].action] += one->uses;
}

static void count_all_uses(const memories *all, uint64_t *taken)
{
    for (int i = 0; i < MEMORIES; i++)
        count_uses(&all->of[i], taken);
}

HOT memory *answer_of(worker *me, memories *all, uint64_t *taken, int part,
                                const word *state)
{
    word key[WORDS];
    for (int i = 0; i < WORDS; i++)
        key[i] = state[i] & reads[part][i];
    key[0] |= PRESENT;
    unsigned place = hash_of(key) % MEMORIES;
    memory *known = &all->of[place];
    if (__builtin_expect(!are_equal(known->key, key) || known->too_many, 0)) {
        count_uses(known, taken);
        known->uses = known->n = known->says = known->too_many = 0;
        known->room = REMEMBERED;
        known->changes = all->changes[place];
        memcpy(known->key, key, sizeof key);
        known->says = answer(part, state, me, known);
    }
    known->uses++;
    return known;
}

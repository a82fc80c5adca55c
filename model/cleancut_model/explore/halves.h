/*
 * What the halves of the drives do, each for itself and both together, worked out once for all states
 * that are alike in what it reads. A reader who sees an answer late works it out once more.
 */

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
    uint8_t busy;
} row_class;

static numbers classes, column_classes;
static row_class *class_of; /* by number */
static set **columns_of; /* by number of a class of columns */
static uint32_t *class_of_column; /* by number, plus one; 0 where it is not known */
static sayings **sayings_of; /* by number of the globals */

/* ---- each for itself */

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

HOT said *said_of(worker *me, uint32_t under, uint32_t column)
{
    sayings *all = __atomic_load_n(&sayings_of[under], __ATOMIC_ACQUIRE);
    if (__builtin_expect(all && column < all->room, 1)) {
        said *one = __atomic_load_n(&all->at[column], __ATOMIC_ACQUIRE);
        if (__builtin_expect(one != NULL, 1))
            return one;
    }
    return ask_right(me, under, column);
}

/* ---- both together */

HOT int has(const set *some, uint32_t number)
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
    hold(&rows->busy);
    const set *more = __atomic_load_n(&columns_of[class], __ATOMIC_ACQUIRE);
    include(&rows->silent, class);
    set *quiet = enlarged(&rows->quiet, more->room);
    for (uint32_t i = 0; i < more->room; i++)
        quiet->bits[i] |= more->bits[i];
    release(&rows->busy);
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
HOT word quiet_at(const row *one, uint32_t i)
{
    const set *quiet = __atomic_load_n(&class_of[one->class].quiet, __ATOMIC_ACQUIRE);
    return quiet && i < quiet->room ? quiet->bits[i] : 0;
}

/*
 * Covers what the fuzz targets cover, with the inputs that fuzzing has found worth keeping: every file below
 * fuzz/corpus/ is given to its target, whose checks are those of any test.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "../fuzz/fuzz.h"

enum { PATH_SIZE = 512 };

static void replay_file(const char *path, void (*target)(const uint8_t *data, size_t size))
{
    FILE *file = fopen(path, "rb");
    if (!CHECK(file != NULL))
        return;
    CHECK(fseek(file, 0, SEEK_END) == 0);
    size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = owned(size);
    unsigned failures = check_failures();
    if (CHECK_EQ(fread(data, 1, size, file), size))
        target(data, size);
    if (check_failures() > failures)
        printf("# in %s\n", path);
    fclose(file);
}

static void replay(const char *name, void (*target)(const uint8_t *data, size_t size))
{
    char path[PATH_SIZE];
    struct dirent **entries;
    snprintf(path, sizeof path, "fuzz/corpus/%s", name);
    int n = scandir(path, &entries, NULL, alphasort), files = 0;
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "fuzz/corpus/%s/%s", name, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && ++files)
            replay_file(path, target);
        free(entries[i]);
    }
    free(entries);
    CHECK(files > 0);
}

#define TARGET(name, sentence)                                                                     \
    static void replay_##name(void)                                                                \
    {                                                                                              \
        replay(#name, fuzz_##name);                                                                \
    }
#include "../fuzz/targets.def"
#undef TARGET

#define TARGET(name, sentence) {#name ": " sentence, replay_##name},
const struct test corpus_tests[] = {
#include "../fuzz/targets.def"
    {NULL, NULL},
};
#undef TARGET

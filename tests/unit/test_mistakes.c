/* test_mistakes.c -- every file of tests/mistakes is a pipeline with one typical mistake; its
 * first line is what is to be said about it. "..." at the end: that and more. */
#include "check.h"

#include "tribus/pipeline.h"

#include <dirent.h>
#include <unistd.h>

#define WANTS "# wants: "

static void check_one(const char *name)
{
    const tribus_pipeline_cfg cfg = {.path = name};
    FILE *f = fopen(name, "r");
    char want[1024];
    size_t n;

    CHECK(f != NULL && fgets(want, sizeof(want), f) != NULL && fclose(f) == 0);
    want[strcspn(want, "\n")] = '\0';
    n = strlen(want);
    CHECK(strncmp(want, WANTS, strlen(WANTS)) == 0 && n > strlen(WANTS) + 3);
    CHECK(tribus_pipeline_check(&cfg, NULL) == TRIBUS_BAD_DATA);
    CHECK(strchr(tribus_error_text(), '\n') == NULL);
    if (strcmp(want + n - 3, "...") != 0)
        CHECK_TEXT(tribus_error_text(), want + strlen(WANTS));
    else if (strncmp(tribus_error_text(), want + strlen(WANTS), n - strlen(WANTS) - 3) != 0)
        CHECK_TEXT(tribus_error_text(), want + strlen(WANTS));
}

static void every_typical_mistake_is_named_with_file_line_and_place(void)
{
    DIR *folder;
    const struct dirent *entry;
    int files = 0;

    CHECK(chdir(TRIBUS_SOURCE_DIR "/tests/mistakes") == 0);
    folder = opendir(".");
    CHECK(folder != NULL);
    while ((entry = readdir(folder)) != NULL) {
        if (strstr(entry->d_name, ".yaml") == NULL)
            continue;
        check_one(entry->d_name);
        files++;
    }
    CHECK(closedir(folder) == 0);
    printf("%d mistakes\n", files);
    CHECK(files >= 70);
}

int main(void)
{
    every_typical_mistake_is_named_with_file_line_and_place();
    return 0;
}

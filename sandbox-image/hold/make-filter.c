/*
 * Writes a filter of system calls for hold.c, as the program that the kernel takes: make-filter NAME. It is run where the
 * image is built, for the architecture of that machine. Its input has a rule a line: what is done, the name of the system
 * call, and comparisons (the index of an argument, a mask, and what is left of the argument under it):
 *
 *   allow read
 *   38 clone3
 *   allow socket 0 4294967295 1
 *
 * A number is that of the error. So is that of all other system calls, in the first line: `1 *`.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_ARGUMENTS 6
/* __X32_SYSCALL_BIT. */
#define X32 0x40000000U

static scmp_filter_ctx filter;
static int highest = 0;

static void require(int ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "make-filter: %s\n", what);
    exit(1);
}

static void add_rule(char *line) {
    struct scmp_arg_cmp compared[MOST_ARGUMENTS];
    unsigned length = 0;
    const char *action_word = strtok(line, " \n"), *name = strtok(NULL, " \n");
    require(action_word != NULL && name != NULL, "a line is not whole");
    uint32_t action = strcmp(action_word, "allow") == 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(atoi(action_word));
    if (strcmp(name, "*") == 0) {
        require(filter == NULL && (filter = seccomp_init(action)) != NULL, "the line of all others is not the first");
        require(seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) == 0, "architectures");
        return;
    }
    for (const char *word; (word = strtok(NULL, " \n")) != NULL;) {
        const char *mask = strtok(NULL, " \n"), *rest = strtok(NULL, " \n");
        require(mask != NULL && rest != NULL && length < MOST_ARGUMENTS, "a comparison is not whole");
        compared[length++] = SCMP_CMP64(atoi(word), SCMP_CMP_MASKED_EQ, strtoull(mask, NULL, 10), strtoull(rest, NULL, 10));
    }
    int number = seccomp_syscall_resolve_name(name);
    /* Negative: another architecture has it. */
    if (number < 0) return;
    if (number > highest) highest = number;
    require(seccomp_rule_add_array(filter, action, number, length, compared) == 0, name);
}

static void print(struct sock_filter step) { printf("    {%u, %u, %u, %uU},\n", step.code, step.jt, step.jf, step.k); }

int main(int length, char **arguments) {
    char line[4096];
    struct sock_filter step;
    require(length == 2, "the name of the program is missing");
    while (fgets(line, sizeof line, stdin) != NULL) add_rule(line);
    require(filter != NULL && highest > 0, "no rules");
    FILE *program = tmpfile();
    require(program != NULL && seccomp_export_bpf(filter, fileno(program)) == 0, "the program");
    rewind(program);
    printf("static const struct sock_filter %s[] = {\n", arguments[1]);
    /*
     * A system call newer than all rules does not exist, as far as code knows: C libraries then use an older one, and
     * take any other error for the result. The x32 calls, which have a bit of their own, are left to the program.
     */
    print((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    print((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (unsigned)highest, 0, 2));
    print((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32, 1, 0));
    print((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
    while (fread(&step, sizeof step, 1, program) == 1) print(step);
    printf("};\n");
    return fflush(stdout) == 0 ? 0 : 1;
}

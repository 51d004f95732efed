#!/bin/bash
# bash: a variable that is set for `builtin eval` does not reach the programs that the text starts, except in $( ).
#
# Guess: `builtin` only chooses which eval runs. So `NAME=value builtin eval "program"` gives the program the variable, as
#   `NAME=value eval "program"` and `NAME=value command eval "program"` do.
# Versions: bash 5.2.15 and 5.2.37 (Debian 12 and 13).
# Behaviour: after `builtin` the shell itself expands the variable, and a program in a command substitution has it. A program
#   that the text starts otherwise does not, once the shell has started any program before.
# Output seen:
#   eval: shell value, substitution value, program value
#   command eval: shell value, substitution value, program value
#   builtin eval: shell value, substitution value, program nothing
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
seen=$(bash --norc --noprofile <<'CODE'
unset NAME
# A program, so that the shell has made an environment for one before.
/bin/true
text='printf "shell $NAME, substitution $(printenv NAME || echo nothing), program "; printenv NAME || echo nothing'
printf 'eval: '; NAME=value eval "$text"
printf 'command eval: '; NAME=value command eval "$text"
printf 'builtin eval: '; NAME=value builtin eval "$text"
CODE
)
printf '%s\n' "$seen"
test "$seen" = 'eval: shell value, substitution value, program value
command eval: shell value, substitution value, program value
builtin eval: shell value, substitution value, program nothing'

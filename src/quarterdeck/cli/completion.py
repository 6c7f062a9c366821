"""`qd completion`: the script that completes commands, options and names in a shell.

The script has the commands and options of this version. For names of nodes, services and other things it calls
`qd __complete`, which cyclopts answers with the functions of `completers.py`.
"""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from cyclopts import Parameter

from quarterdeck.cli.verbs import app, load_all

#: bash splits words at "=" and ":" too. This joins "label", "=" and "value" for the script, which sees one word, and
#: leaves in the candidates what comes after the last of these characters, which is all that bash replaces.
_BASH_WHOLE_WORDS = r"""
_qd_whole_words() {
  local -a words=("${COMP_WORDS[0]}")
  local rest="${COMP_LINE#*"${COMP_WORDS[0]}"}" now="${COMP_WORDS[COMP_CWORD]}" place=0 i word
  for ((i = 1; i < ${#COMP_WORDS[@]}; i++)); do
    word="${COMP_WORDS[i]}"
    if [[ $rest == [[:space:]]* || -z $rest || ${words[-1]} == -* || ${words[-1]} == "=" || ${#words[@]} -eq 1 ]]; then
      words+=("$word")
    else
      words[-1]+="$word"
    fi
    rest="${rest#*"$word"}"
    ((i == COMP_CWORD)) && place=$((${#words[@]} - 1))
  done
  [[ $now == [=:] ]] && now=""
  local begun="${words[place]%"$now"}"
  [[ ${words[place]} == "=" ]] && begun=""
  local -a COMP_WORDS=("${words[@]}")
  local COMP_CWORD=$place
  _qd
  COMPREPLY=("${COMPREPLY[@]#"$begun"}")
}

complete -F _qd_whole_words qd
"""
#: the script of cyclopts only defines a function. This calls it where zsh has loaded the script from a folder of $fpath
#: under the name `_qd`, and registers it where the script is sourced.
_ZSH_CALL = """
if [[ ${funcstack[1]} == (_qd|_cyclopts_qd) ]]; then
  _cyclopts_qd "$@"
else
  compdef _cyclopts_qd qd
fi
"""


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell that reads it.")], /) -> None:
    """Print the completion script of a shell: source <(qd completion bash)

    It completes commands, options, and the names that the server knows. See docs/guide/command-line.md.
    """
    load_all()
    sys.stdout.write(app.generate_completion(prog_name="qd", shell=shell))
    sys.stdout.write({"bash": _BASH_WHOLE_WORDS, "zsh": _ZSH_CALL}.get(shell, ""))

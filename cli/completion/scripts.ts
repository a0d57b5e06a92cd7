/** What a shell runs to ask for completions: the words so far, the last of them the one to complete; one candidate a line. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

export const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `_ops_loop() {
  local IFS=$'\\n' words
  # Event types and the like have colons, at which bash would split.
  if declare -F _get_comp_words_by_ref >/dev/null; then
    local cur cword
    _get_comp_words_by_ref -n : cur words cword
  else
    words=("\${COMP_WORDS[@]}")
    local cword=$COMP_CWORD cur="\${COMP_WORDS[COMP_CWORD]}"
  fi
  COMPREPLY=($(compgen -W "$(ops-loop complete -- "\${words[@]:1:cword}" 2>/dev/null | cut -f1)" -- "$cur"))
  declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$cur"
  return 0
}
complete -o default -F _ops_loop ops-loop`,
  zsh: `#compdef ops-loop
_ops_loop() {
  local -a candidates
  local line
  for line in "\${(@f)$(ops-loop complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -n $line ]] && candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  if (( $#candidates )); then _describe 'ops-loop' candidates; else _files; fi
}
if [ "$funcstack[1]" = "_ops_loop" ]; then _ops_loop "$@"; else compdef _ops_loop ops-loop; fi`,
  fish: `function __ops_loop_complete
  set -l words (commandline -opc) (commandline -ct)
  ops-loop complete -- $words[2..-1] 2>/dev/null
end
complete -c ops-loop -f -a '(__ops_loop_complete)'`,
}

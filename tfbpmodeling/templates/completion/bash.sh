# tfbpmodeling completion: eval "$(tfbpmodeling completion @shell@)" in the shell's start file
@first@_tfbpmodeling() {
  local current="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" command="" words="" word
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in @commands@) command="$word"; break ;; esac
  done
  case "$command" in
    "") words="@all_commands@ --help --version" ;;
@options@
  esac
  [[ -n "$command" && "$current" != -* ]] && words=""
  case "$command $before" in
@choices@
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o bashdefault -o default -F _tfbpmodeling tfbpmodeling

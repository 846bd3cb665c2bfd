#compdef PROGRAM
# Completion of PROGRAM in zsh: source <(PROGRAM completion zsh)
__complete_FUNCTION() {
    local line value directive=4
    local -a lines candidates suffix
    lines=("${(@f)$("${${(Q)words[1]}/#\~/$HOME}" __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    for line in $lines; do
        case $line in
            :*) directive=${line#:} ;;
            *$'\t'*) value=${line%%$'\t'*} && candidates+=("${value//:/\\:}:${line#*$'\t'}") ;;
            *) candidates+=("${line//:/\\:}") ;;
        esac
    done
    # The value of a flag comes without the flag.
    [[ $PREFIX == -*=* ]] && compset -P '*='
    ((directive & 2)) && suffix+=(-S '')
    if (($#candidates)); then
        _describe candidates candidates "${(@)suffix}"
    elif ((directive == 16)); then
        _files -/
    elif ((directive == 0)); then
        _files
    fi
}
compdef __complete_FUNCTION PROGRAM

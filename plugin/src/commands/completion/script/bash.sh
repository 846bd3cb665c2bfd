# Completion of PROGRAM in bash: source <(PROGRAM completion bash)
__complete_FUNCTION() {
    local line=${COMP_LINE:0:COMP_POINT} rest piece i last=-1
    local -a words=() lines=()
    # bash also splits words at = and :. Without a space before it, a piece belongs to the word before.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        rest=${line#"${line%%[![:space:]]*}"}
        if ((last < 0)) || [[ $rest != "$line" ]]; then
            words[++last]=
        fi
        piece=${COMP_WORDS[i]}
        # The cursor may be inside the last piece.
        ((i == COMP_CWORD)) && piece=$rest
        words[last]+=$piece
        line=${rest#"$piece"}
    done

    local current=${words[last]} flag= tail
    [[ $current == -*=* ]] && flag=${current%%=*}=
    # bash replaces only what follows the last of its separators.
    tail=$current
    [[ $COMP_WORDBREAKS == *=* ]] && tail=${tail##*=}
    [[ $COMP_WORDBREAKS == *:* ]] && tail=${tail##*:}

    local directive=4 longest=0 value
    while IFS= read -r value; do
        if [[ $value == :* ]]; then
            directive=${value#:}
        elif [[ -n $value ]]; then
            lines+=("$value")
            value=${value%%$'\t'*}
            ((${#value} > longest)) && longest=${#value}
        fi
    done < <("${words[0]/#\~/$HOME}" __complete "${words[@]:1}" 2>/dev/null)

    COMPREPLY=()
    for line in ${lines[@]+"${lines[@]}"}; do
        value=$flag${line%%$'\t'*}
        value=${value#"${current%"$tail"}"}
        # Descriptions are only shown: not if one candidate is left, and not if bash inserts candidates in turn.
        if [[ $line == *$'\t'* && ${#lines[@]} -gt 1 && $COMP_TYPE != 37 && $COMP_TYPE != 42 ]]; then
            printf -v value '%-*s  (%s)' "$longest" "$value" "${line#*$'\t'}"
        fi
        COMPREPLY+=("$value")
    done
    if type compopt &>/dev/null; then
        ((directive & 2)) && compopt -o nospace
        ((directive & 4)) && compopt +o default
        ((directive & 16)) && compopt +o default -o dirnames
    fi
    return 0
}
complete -o default -F __complete_FUNCTION PROGRAM

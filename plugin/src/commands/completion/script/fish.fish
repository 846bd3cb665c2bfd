# Completion of PROGRAM in fish: PROGRAM completion fish | source
function __complete_FUNCTION
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l current (commandline --current-token --cut-at-cursor)
    set -l program $words[1]
    set -e words[1]
    set -l lines ($program __complete $words "$current" 2>/dev/null)
    # The value of a flag comes without the flag.
    set -l flag (string match --regex -- '^-[^=]*=' "$current")
    switch "$lines[-1]"
        case :16
            __fish_complete_directories "$current"
        case :0
            __fish_complete_path "$current"
        case '*'
            for line in $lines[1..-2]
                printf '%s%s\n' "$flag" $line
            end
    end
end
complete --command PROGRAM --no-files --arguments '(__complete_FUNCTION)'

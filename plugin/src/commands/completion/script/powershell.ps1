# Completion of PROGRAM in PowerShell: PROGRAM completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName 'PROGRAM' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $before = $commandAst.CommandElements | Where-Object { $_.Extent.StartOffset -lt $cursorPosition }
    $words = @($before | ForEach-Object { $_.Extent.Text.Trim('"', "'") })
    $arguments = @($words | Select-Object -Skip 1)
    if ($wordToComplete -eq '') {
        # Only PowerShell 7.3 and newer pass an empty argument as it is.
        $arguments += if ($PSNativeCommandArgumentPassing -in 'Standard', 'Windows') { '' } else { '""' }
    }
    # The value of a flag comes without the flag.
    $flag = if ($wordToComplete -match '^-[^=]*=') { $Matches[0] } else { '' }
    & $words[0] __complete @arguments 2>$null | Where-Object { $_ -notmatch '^:\d+$' } | ForEach-Object {
        $value, $description = $_ -split "`t", 2
        if (-not $description) { $description = $value }
        [System.Management.Automation.CompletionResult]::new("$flag$value", $value, 'ParameterValue', $description)
    }
}

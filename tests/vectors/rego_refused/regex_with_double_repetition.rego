package team.rules

allow if regex.match(`a**`, input.request.path) # refused: pattern repeats a repetition

package team.rules

allow if regex.match(`a{,2}`, input.request.path) # refused: pattern holds a brace that is no count, write [{]

package team.rules

allow if regex.match(`[[:alpha:]]`, input.request.path) # refused: pattern holds a class that is a set expression to one engine

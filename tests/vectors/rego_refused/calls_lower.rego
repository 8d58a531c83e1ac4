package team.rules

allow if lower(input.request.host) == "a" # refused: function lower is not allowed

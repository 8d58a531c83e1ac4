package team.rules

allow if (input.request.access == "read") == true # refused: a comparison of a comparison binds differently in the engines

package team.rules

allow if opa.runtime().env.HOME == "/" # refused: function opa.runtime is not allowed

-- Stands in for effects.lua where a write has no effects, as most have none: to define all that takes as long as
-- the rest of the script.

local function effects_at(at) return nil, at end

local function refusal_of() end

local function carry_out() end

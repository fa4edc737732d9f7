"""What is decided in the server, in one step each: comparing versions, and counting tokens by the server's own clock.

A kept status is 32 hexadecimal digits, the epoch and the number of the history row, and JSON after them: digits of equal
length compare as numbers do. They are sent whole each time (EVAL), so that a server that lost its scripts, or one that has
just taken over, needs no second try.
"""

from __future__ import annotations

TELL = """
local followed = {}
for i, told in ipairs(cmsgpack.unpack(ARGV[3])) do
  local key, version, status, commits, project = unpack(told)
  if redis.call('GETRANGE', key, 0, 31) < version then
    redis.call('SET', key, version .. status, 'PX', ARGV[1])
    if redis.call('PUBLISH', ARGV[2] .. key, version .. '{"status":' .. status .. commits .. '}') > 0 then
      followed[#followed + 1] = i
    end
    redis.call('PUBLISH', project, version .. '{"status":' .. status .. '}')
  end
end
return followed
"""
"""ARGV: how long a status lasts in milliseconds, what precedes a run's channel, and all words as one MessagePack list, because
packing each one's parts as arguments costs more than making it: key, version, status, commits, the project's channel.
Returns the positions of the runs that somebody follows."""

FORGET = """
for _, key in ipairs(KEYS) do
  redis.call('DEL', key)
  redis.call('PUBLISH', ARGV[1] .. key, '')
end
"""
"""KEYS: of the statuses. ARGV: what precedes a run's channel."""

TAKE = """
local rate, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local held = burst
local full_at = tonumber(redis.call('GET', KEYS[1]) or now)
if full_at > now then
  held = math.min(burst, burst - (full_at - now) * rate)
end
if held < cost then
  return string.format('%.6f', math.max((cost - held) / rate, 0.000001))
end
full_at = now + (burst - held + cost) / rate
redis.call('SET', KEYS[1], string.format('%.6f', full_at), 'PX', math.ceil((full_at - now) * 1000) + 1)
return '0'
"""
"""KEYS: the bucket, kept as the time at which it will be full. ARGV: rate, burst, cost. Returns the seconds to wait."""

"""When something is due by itself, and what is to be done about it. Pure: what the cron line and the zone mean is asked of an
injected `Calendar`; the time is given. docs/design/schedules.md says why it is as it is."""

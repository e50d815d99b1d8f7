-- Publishing: one pointer moves, and with it all the rows of a run are what is read. The API and the jobs both call these, so that there
-- is one way to publish. Each answers one word.

create function publish_run(wanted text, at_ms bigint) returns text language plpgsql as $$
declare
  asked runs%rowtype;
  held run_periods%rowtype;
begin
  select * into asked from runs where run_id = wanted;
  if not found then return 'run_unknown'; end if;
  insert into run_periods (job, period, set_name) values (asked.job, asked.period, asked.set_name) on conflict do nothing;
  -- Whoever publishes another run of this period waits here and then sees what we have done.
  select * into held from run_periods where job = asked.job and period = asked.period and set_name = asked.set_name for update;
  select * into asked from runs where run_id = wanted for update;
  if asked.state = 'published' then return 'already_published'; end if;
  if asked.is_dry or asked.state not in ('ready', 'held', 'superseded') then return 'run_not_publishable'; end if;
  if held.closed_ms is not null then return 'period_closed'; end if;
  update runs set state = 'superseded' where run_id = held.run_id;
  update runs set state = 'published', published_ms = at_ms, after_ms = null,
    replaced = case when asked.state = 'superseded' then replaced else held.run_id end where run_id = wanted;
  update run_periods set run_id = wanted where job = asked.job and period = asked.period and set_name = asked.set_name;
  return 'published';
end $$;
--> statement-breakpoint
create function rollback_run(wanted text, at_ms bigint) returns text language plpgsql as $$
declare
  asked runs%rowtype;
begin
  select * into asked from runs where run_id = wanted;
  if not found then return 'run_unknown'; end if;
  perform 1 from run_periods where job = asked.job and period = asked.period and set_name = asked.set_name for update;
  select * into asked from runs where run_id = wanted;
  if asked.state <> 'published' then return 'run_not_published'; end if;
  if asked.replaced is null then return 'run_without_earlier'; end if;
  return publish_run(asked.replaced, at_ms);
end $$;

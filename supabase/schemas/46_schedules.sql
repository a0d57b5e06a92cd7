-- Schedules: which are due, and what becomes of their slots. Reading cron expressions is the control plane's part; that each slot
-- becomes an event once, whoever is first, is this file's.

-- After a change of policy `schedules`: new schedules begin now, changed times begin anew, those that were switched off are forgotten. Whoever
-- edits another policy sees this one as it was before an edit that is under way, and must not put its schedules back in force.
create function ops.sync_schedules() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_all jsonb := coalesce(ops.policy('schedules') -> 'schedules', '[]');
  v_twice text;
  v_bad record;
begin
  select s ->> 'id' into v_twice from jsonb_array_elements(v_all) s group by s ->> 'id' having count(*) > 1 limit 1;
  if found then
    perform ops.fail('OPS_011', format('policy schedules: "%s" is there twice', v_twice), 'schedules', 'give each schedule an id of its own');
  end if;
  select s.n - 1 as at, p.field, p.problem into v_bad
  from jsonb_array_elements(v_all) with ordinality s(schedule, n), ops.event_problem(s.schedule -> 'event', false) p
  where p.problem is not null order by s.n limit 1;
  if found then
    perform ops.fail('OPS_011', format('policy schedules: schedules[%s].event.%s %s', v_bad.at, v_bad.field, v_bad.problem),
      format('schedules[%s].event.%s', v_bad.at, v_bad.field));
  end if;

  -- In the order in which beats settle them.
  perform from ops.schedules k order by k.id for no key update;
  delete from ops.schedules k
  where not exists (select from jsonb_array_elements(v_all) s
                    where s ->> 'id' = k.id and coalesce((s ->> 'enabled')::boolean, true));
  insert into ops.schedules as k (id, definition, settled_until)
  select s ->> 'id', s, v_now from jsonb_array_elements(v_all) s
  where coalesce((s ->> 'enabled')::boolean, true)
  on conflict (id) do update set definition = excluded.definition,
    settled_until = case when ops.schedule_times(k.definition) = ops.schedule_times(excluded.definition) then k.settled_until else v_now end,
    next_at = case when ops.schedule_times(k.definition) = ops.schedule_times(excluded.definition) then k.next_at end
  where k.definition <> excluded.definition;
  return null;
end
$$;

-- What decides when a schedule is due.
create function ops.schedule_times(p_definition jsonb) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (p_definition ->> 'cron') || ' ' || coalesce(p_definition ->> 'time_zone', 'UTC');
end
$$;

create trigger ops_policy_sync_schedules after insert or update on public.ops_policy
  for each row when (new.key = 'schedules') execute function ops.sync_schedules();
create trigger ops_policy_sync_schedules_delete after delete on public.ops_policy
  for each row when (old.key = 'schedules') execute function ops.sync_schedules();
create trigger ops_policy_sync_schedules_truncate after truncate on public.ops_policy
  for each statement execute function ops.sync_schedules();

-- Schedules whose next slot has come, or is not known yet, longest due first; at most p_limit (1..1000). `now` is the moment to
-- settle them by. Empty while intake is paused: those slots have passed while nothing ran.
create function public.ops_due_schedules(p_limit integer default 100)
returns table (schedule_id text, cron text, time_zone text, missed text, settled_until timestamptz, now timestamptz)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := ops.now();
begin
  if ops.paused('intake') then
    return;
  end if;
  return query
  select k.id, k.definition ->> 'cron', coalesce(k.definition ->> 'time_zone', 'UTC'), coalesce(k.definition ->> 'missed', 'once'),
    k.settled_until, v_now
  from ops.schedules k
  where k.next_at is null or k.next_at <= v_now
  order by k.next_at nulls first, k.id
  limit least(p_limit, 1000);
end
$$;

-- Settles schedules, each by itself: [{"schedule_id", "settled_until", "until", "next_at", "slots": [{"at", "missed"}]}], at most
-- 1,000 with 1,000 slots each. `settled_until` is what ops_due_schedules answered: who comes second finds another value there, and
-- changes nothing (`taken`). Every slot becomes the schedule's event, with `data.schedule` = {"id", "at", "missed"} (how many slots
-- before it became none) and `data.source` = "schedule" where the schedule names none.
-- Errors: OPS_011 for a schedule that would go backwards.
create function public.ops_settle_schedules(p_items jsonb)
returns table (schedule_id text, outcome text, events integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_item record;
  v_event jsonb;
begin
  perform ops.require_array(p_items, 'p_items', 1000);
  -- In the order of their ids, so that two overlapping beats cannot wait for each other.
  for v_item in
    select * from jsonb_to_recordset(p_items)
      as i(schedule_id text, settled_until timestamptz, until timestamptz, next_at timestamptz, slots jsonb)
    order by i.schedule_id
  loop
    if v_item.until is null or v_item.until < v_item.settled_until then
      perform ops.fail('OPS_011', format('schedule "%s" cannot go back in time', v_item.schedule_id), 'until');
    end if;
    perform ops.require_array(v_item.slots, 'slots', 1000);
    schedule_id := v_item.schedule_id;
    events := 0;
    update ops.schedules k set settled_until = v_item.until, next_at = v_item.next_at
    where k.id = v_item.schedule_id and k.settled_until = v_item.settled_until
    returning k.definition -> 'event' into v_event;
    if found then
      outcome := 'settled';
      insert into public.ops_agent_events (type, data, dedupe_key)
      select v_event ->> 'type',
        '{"source": "schedule"}' || coalesce(v_event -> 'data', '{}')
          || jsonb_build_object('schedule', jsonb_build_object('id', schedule_id, 'at', s.at, 'missed', coalesce(s.missed, 0))),
        'schedule:' || schedule_id || ':' || to_char(s.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
      from jsonb_to_recordset(v_item.slots) as s(at timestamptz, missed integer)
      order by s.at
      on conflict (dedupe_key) do nothing;
      get diagnostics events = row_count;
    else
      outcome := 'taken';
    end if;
    return next;
  end loop;
end
$$;

-- Intake: facts come in, each stored once.

-- The first problem of an event that someone reports, or null. p_path names it in the message.
create function ops.event_problem(p_event jsonb, p_own boolean, out field text, out problem text)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_type text := p_event ->> 'type';
begin
  if jsonb_typeof(p_event) <> 'object' then
    field := ''; problem := 'must be an object';
  elsif jsonb_typeof(p_event -> 'type') is distinct from 'string' then
    field := 'type'; problem := 'must be a string such as "github:issues.opened"';
  elsif v_type !~ '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}$' then
    field := 'type'; problem := 'must be 1 to 200 letters, digits, "_", ".", ":" or "-", and begin with a letter or digit';
  elsif not p_own and v_type ~ '^(heartbeat|mission|step|proposal|canary|service):' then
    field := 'type'; problem := format('"%s:" events are made by the engine alone', split_part(v_type, ':', 1));
  elsif p_event ? 'data' and jsonb_typeof(p_event -> 'data') not in ('object', 'null') then
    field := 'data'; problem := 'must be an object';
  elsif octet_length((p_event -> 'data')::text) > 1048576 then
    field := 'data'; problem := 'must not be larger than 1 MiB';
  elsif p_event ? 'dedupe_key' and jsonb_typeof(p_event -> 'dedupe_key') not in ('string', 'null') then
    field := 'dedupe_key'; problem := 'must be a string';
  elsif length(p_event ->> 'dedupe_key') not between 1 and 500 then
    field := 'dedupe_key'; problem := 'must have 1 to 500 characters';
  elsif not p_own and p_event ->> 'dedupe_key' ~ '^(mission:[0-9a-f-]{36}|schedule:.+):' then
    field := 'dedupe_key'; problem := 'belongs to the engine''s own events';
  end if;
end
$$;

-- Reports up to 1,000 events: [{"type", "data"?, "dedupe_key"?}, …]. Answers for each, by its position from 1:
-- accepted (stored now), duplicate (the same event is there already) or conflict (its dedupe_key belongs to an event with
-- other content; nothing was stored). All or none: an invalid item refuses the call.
-- Errors: OPS_011 names the item and field; OPS_015 while intake is paused.
create function public.ops_emit_events(p_events jsonb)
returns table (ordinal integer, event_id uuid, outcome text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_bad record;
  v_ordinals integer[];
  v_ids uuid[];
begin
  perform ops.require_not_paused('intake');
  if ops.require_array(p_events, 'p_events', 1000) = 0 then
    perform ops.fail('OPS_011', 'p_events is empty', 'p_events', 'send at least one event');
  end if;
  select e.ordinality - 1 as at, p.field, p.problem into v_bad
  from jsonb_array_elements(p_events) with ordinality e, ops.event_problem(e.value, false) p
  where p.problem is not null order by e.ordinality limit 1;
  if found then
    perform ops.fail('OPS_011', format('events[%s].%s %s', v_bad.at, v_bad.field, v_bad.problem),
      format('events[%s].%s', v_bad.at, v_bad.field));
  end if;

  with given as materialized (
    select e.ordinality::integer as n, ops.new_id() as id, e.value ->> 'type' as type,
      coalesce(nullif(e.value -> 'data', 'null'), '{}') as data, e.value ->> 'dedupe_key' as dedupe_key
    from jsonb_array_elements(p_events) with ordinality e
  ), stored as (
    -- In key order, so that two overlapping batches cannot wait for each other.
    insert into public.ops_agent_events (id, type, data, dedupe_key)
    select id, type, data, dedupe_key from given order by dedupe_key, n
    on conflict (dedupe_key) do nothing
    returning id
  )
  select array_agg(g.n order by g.n), array_agg(g.id order by g.n) into v_ordinals, v_ids
  from given g join stored s on s.id = g.id;

  return query
  select a.n, a.id, 'accepted' from unnest(v_ordinals, v_ids) a(n, id)
  union all
  select e.ordinality::integer, known.id,
    case when known.type = e.value ->> 'type' and known.data = coalesce(nullif(e.value -> 'data', 'null'), '{}')
      then 'duplicate' else 'conflict' end
  from jsonb_array_elements(p_events) with ordinality e
  join public.ops_agent_events known on known.dedupe_key = e.value ->> 'dedupe_key'
  where e.ordinality <> all (coalesce(v_ordinals, '{}'))
  order by 1;
end
$$;

-- An event of the engine itself, about a proposal where it names one.
create function ops.emit_own(p_type text, p_data jsonb, p_proposal_id uuid, p_root_event_id uuid, p_depth integer) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into public.ops_agent_events (type, data, proposal_id, root_event_id, depth)
  values (p_type, p_data, p_proposal_id, p_root_event_id, p_depth);
end
$$;

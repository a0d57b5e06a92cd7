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
set enable_seqscan = off
set enable_mergejoin = off
set random_page_cost = 1.1
set plan_cache_mode = force_generic_plan -- a plan for each batch would copy it
as $$
#variable_conflict use_column
declare
  v_count integer;
  v_bad record;
  -- By event.
  v_ids uuid[];
  v_types text[];
  v_data jsonb[];
  v_keys text[];
  v_are_plain boolean;
  -- What is stored now.
  v_stored uuid[];
begin
  perform ops.require_not_paused('intake');
  v_count := ops.require_array(p_events, 'p_events', 1000);
  if v_count = 0 then
    perform ops.fail('OPS_011', 'p_events is empty', 'p_events', 'send at least one event');
  end if;
  select array_agg(e.value ->> 'type'), array_agg(coalesce(nullif(e.value -> 'data', 'null'), '{}')), array_agg(e.value ->> 'dedupe_key'),
      bool_and((jsonb_typeof(e.value -> 'type') = 'string' and e.value ->> 'type' ~ '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}$'
        and split_part(e.value ->> 'type', ':', 1) <> all ('{heartbeat,mission,step,proposal,canary,service}')
        and (e.value -> 'data' is null or jsonb_typeof(e.value -> 'data') = 'object')
        and (e.value -> 'dedupe_key' is null or jsonb_typeof(e.value -> 'dedupe_key') = 'string' and length(e.value ->> 'dedupe_key') between 1 and 500
          and left(e.value ->> 'dedupe_key', 8) <> 'mission:' and left(e.value ->> 'dedupe_key', 9) <> 'schedule:')) is true)
    into v_types, v_data, v_keys, v_are_plain
  from jsonb_array_elements(p_events) with ordinality e;
  -- What is wrong, if anything is, takes longer to find out than to see that mostly nothing is.
  if not v_are_plain or octet_length(p_events::text) > 1048576 then
    select e.ordinality - 1 as at, p.field, p.problem into v_bad
    from jsonb_array_elements(p_events) with ordinality e, ops.event_problem(e.value, false) p
    where p.problem is not null order by e.ordinality limit 1;
    if found then
      perform ops.fail('OPS_011', format('events[%s].%s %s', v_bad.at, v_bad.field, v_bad.problem),
        format('events[%s].%s', v_bad.at, v_bad.field));
    end if;
  end if;

  v_ids := ops.new_ids(v_count);
  with stored as (
    -- In key order, so that two overlapping batches cannot wait for each other.
    insert into public.ops_agent_events (id, type, data, dedupe_key)
    select e.id, e.type, e.data, e.dedupe_key
    from unnest(v_ids, v_types, v_data, v_keys) with ordinality e(id, type, data, dedupe_key, n) order by e.dedupe_key, e.n
    on conflict (dedupe_key) do nothing
    returning id
  )
  select array_agg(s.id) into v_stored from stored s;
  if cardinality(v_stored) = v_count then
    return query select e.n::integer, e.id, 'accepted' from unnest(v_ids) with ordinality e(id, n);
    return;
  end if;
  return query
  select e.n::integer, e.id, 'accepted' from unnest(v_ids) with ordinality e(id, n) where e.id = any (v_stored)
  union all
  select e.n::integer, known.id, case when known.type = e.type and known.data = e.data then 'duplicate' else 'conflict' end
  from unnest(v_ids, v_types, v_data, v_keys) with ordinality e(id, type, data, dedupe_key, n)
    join public.ops_agent_events known on known.dedupe_key = e.dedupe_key
  where e.id <> all (coalesce(v_stored, '{}')) order by 1;
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

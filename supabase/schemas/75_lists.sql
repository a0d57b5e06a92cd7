-- Lists for the control plane and the command line: newest first, at most 200 rows; p_after is the last id of the page before. Ids are
-- time-ordered. The conditions are written out, so that each plan goes by what was asked for: what is open or belongs together is found by
-- its index, however much has finished since. Other fields are looked for from the newest row back.

-- Rows of a table, as `r`, that meet all the conditions that are not null.
create function ops.page(p_row text, p_from text, p_conditions text[], p_limit integer, p_after uuid) returns setof jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Rows are written out when the page is cut, not before.
  return query execute format('select %s from (select * from %s r where %s order by r.id desc limit %s) r order by r.id desc', p_row, p_from,
    array_to_string(array['true', case when p_after is not null then format('r.id < %L', p_after) end] || p_conditions, ' and '),
    least(p_limit, 200));
end
$$;

-- A page of rows of a state that few rows are in, or very many: the newest thousand fill the page where there are many; else p_found says
-- which rows are in it.
create function ops.page_of_some(p_row text, p_from text, p_conditions text[], p_found text, p_limit integer, p_after uuid) returns setof jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  v_newest text := format('(select * from %s n where %s order by n.id desc limit 1000)', p_from, case when p_after is null then 'true' else format('n.id < %L', p_after) end);
  v_page jsonb[];
begin
  v_page := array(select ops.page(p_row, v_newest, p_conditions, p_limit, p_after));
  if cardinality(v_page) < least(p_limit, 200) then
    return query select ops.page(p_row, p_from, p_conditions || p_found, p_limit, p_after);
  else
    return query select unnest(v_page);
  end if;
end
$$;

-- `column = what p_filter says`, or null where it says nothing. No row has a value that is not among p_known.
create function ops.equals(p_filter jsonb, p_field text, p_known text[] default null) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case when not p_filter ? p_field then null
    when p_known is null or p_filter ->> p_field = any (p_known) then format('r.%I = %L', p_field, p_filter ->> p_field)
    else 'false' end;
end
$$;

create function public.ops_list_events(p_filter jsonb default '{}', p_limit integer default 50, p_after uuid default null) returns setof jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query select * from ops.page('to_jsonb(r)', 'public.ops_agent_events', array[
    ops.equals(p_filter, 'type'),
    ops.equals(p_filter, 'id'),
    case when not (p_filter ->> 'heartbeats')::boolean then 'r.type not in (''heartbeat:success'', ''heartbeat:failure'')' end,
    case when not (p_filter ->> 'canaries')::boolean
      then 'r.type <> ''canary:ping'' and not (r.mission_id is not null and coalesce(r.data ->> ''source'', '''') = ''canary'')' end,
    case (p_filter ->> 'processed')::boolean when true then 'r.processed_at is not null' when false then 'r.processed_at is null' end,
    case when p_filter ? 'root_event_id' then format('(r.root_event_id = %1$L or (r.id = %1$L and r.root_event_id is null))',
      p_filter ->> 'root_event_id') end], p_limit, p_after);
end
$$;

create function public.ops_list_proposals(p_filter jsonb default '{}', p_limit integer default 50, p_after uuid default null) returns setof jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query select * from ops.page(
    'to_jsonb(r) || jsonb_build_object(''mission_id'', (select m.id from public.ops_missions m where m.proposal_id = r.id))',
    'public.ops_mission_proposals', array[
    ops.equals(p_filter, 'status', enum_range(null::public.ops_proposal_status)::text[]),
    ops.equals(p_filter, 'source'),
    case when not (p_filter ->> 'canaries')::boolean then 'r.source <> ''canary''' end,
    ops.equals(p_filter, 'id')], p_limit, p_after);
end
$$;

create function public.ops_list_missions(p_filter jsonb default '{}', p_limit integer default 50, p_after uuid default null) returns setof jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_conditions text[] := array[
    ops.equals(p_filter, 'status', enum_range(null::public.ops_mission_status)::text[]),
    case when not (p_filter ->> 'canaries')::boolean then 'r.source is distinct from ''canary''' end,
    ops.equals(p_filter, 'id')];
begin
  if p_filter ->> 'status' in ('approved', 'running') then
    return query select * from ops.page_of_some('to_jsonb(r)', 'public.ops_missions', v_conditions,
      'r.id = any (array(select o.id from ops.open_missions o))', p_limit, p_after);
  else
    return query select * from ops.page('to_jsonb(r)', 'public.ops_missions', v_conditions, p_limit, p_after);
  end if;
end
$$;

create function public.ops_list_steps(p_filter jsonb default '{}', p_limit integer default 50, p_after uuid default null) returns setof jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_row constant text := 'to_jsonb(r) - ''lease_token''';
  v_conditions text[] := array[
    ops.equals(p_filter, 'status', enum_range(null::public.ops_step_status)::text[]),
    ops.equals(p_filter, 'mission_id'),
    ops.equals(p_filter, 'kind'),
    ops.equals(p_filter, 'executor'),
    ops.equals(p_filter, 'id')];
  v_found text := case when p_filter ->> 'status' in ('queued', 'waiting', 'failed')
      then format('r.id = any (array(select q.step_id from ops.queue q where q.status = %L))', p_filter ->> 'status')
    when p_filter ->> 'status' = 'running' then 'r.id = any (array(select u.id from ops.claims c, unnest(c.steps) u(id)))' end;
begin
  if v_found is not null and not p_filter ?| array['mission_id', 'id'] then
    return query select * from ops.page_of_some(v_row, 'public.ops_mission_steps', v_conditions, v_found, p_limit, p_after);
  else
    return query select * from ops.page(v_row, 'public.ops_mission_steps', v_conditions, p_limit, p_after);
  end if;
end
$$;

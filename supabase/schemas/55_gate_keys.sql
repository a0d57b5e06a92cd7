-- Dedupe keys: while a proposal or its mission is open, its key is its own, and whoever comes with the same key is answered with that proposal.

-- Locks keys in one order before anything else is locked, so that gates with several keys cannot deadlock.
create function ops.lock_keys(p_keys text[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if array_remove(p_keys, null) = '{}' then
    return;
  end if;
  perform pg_advisory_xact_lock(h) from (
    select distinct hashtextextended('ops:' || k, 0) as h from unnest(p_keys) k where k is not null order by 1) l;
  perform ops.lock_held_keys(p_keys);
end
$$;

-- Locks those dedupe keys that are held, against the ends of the work that holds them.
create function ops.lock_held_keys(p_keys text[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from ops.live_keys where dedupe_key = any (p_keys) order by dedupe_key for update;
end
$$;

-- Takes a dedupe key for a proposal. Returns the proposal that holds it, or null when it was free or its own.
create function ops.take_key(p_key text, p_proposal_id uuid, p_held_until timestamptz) returns uuid
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_holder uuid;
begin
  insert into ops.live_keys as k (dedupe_key, proposal_id, live, held_until) values (p_key, p_proposal_id, true, p_held_until)
  on conflict (dedupe_key) do update set proposal_id = excluded.proposal_id, live = true,
    held_until = case when k.proposal_id = excluded.proposal_id then k.held_until else excluded.held_until end
  where k.proposal_id = excluded.proposal_id or (not k.live and coalesce(k.held_until, '-infinity') <= ops.now())
  returning proposal_id into v_holder;
  if v_holder is not null then
    return null;
  end if;
  select proposal_id into v_holder from ops.live_keys where dedupe_key = p_key;
  return v_holder;
end
$$;

-- Takes the dedupe keys of items that do not share any. False when one of them is held.
create function ops.take_keys(p_items ops.gate_item[]) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_wanted integer := (select count(i.dedupe_key) from unnest(p_items) i);
  v_taken integer;
begin
  if v_wanted = 0 then
    return true;
  end if;
  insert into ops.live_keys as k (dedupe_key, proposal_id, live, held_until)
  select i.dedupe_key, i.id, true, v_now + i.dedupe_minutes * interval '1 minute'
  from unnest(p_items) i where i.dedupe_key is not null order by i.dedupe_key
  on conflict (dedupe_key) do update set proposal_id = excluded.proposal_id, live = true, held_until = excluded.held_until
  where k.proposal_id = excluded.proposal_id or (not k.live and coalesce(k.held_until, '-infinity') <= v_now);
  get diagnostics v_taken = row_count;
  return v_taken = v_wanted;
end
$$;

-- True when the answer to one item could be the proposal of another.
create function ops.share_keys(p_items ops.gate_item[]) returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return array_length(p_items, 1) > 1 and (
    select count(i.dedupe_key) > count(distinct i.dedupe_key) or count(i.idempotency_key) > count(distinct i.idempotency_key)
      or count(i.reaction_id) > count(distinct i.reaction_id)
    from unnest(p_items) i);
end
$$;

-- The same question asked again gets the same answer, and a dedupe key that is held answers with the proposal that holds it.
create function ops.known_answers(p_items ops.gate_item[]) returns ops.gate_outcome[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := ops.now();
  v_known ops.gate_outcome[];
begin
  v_known := array(
    select row(k.n, k.id, p.status::text, m.id, coalesce(k.reason, p.reason), coalesce(k.code, p.code), p.verdict)::ops.gate_outcome
    from (
      select i.n, coalesce(same.id, again.id, k.proposal_id) as id,
        case when same.id is null and again.id is null then 'duplicate' end as code,
        case when same.id is null and again.id is null then format('dedupe key "%s" is held by this proposal', i.dedupe_key) end as reason
      from unnest(p_items) i
      left join public.ops_mission_proposals same on same.idempotency_key = i.idempotency_key
      left join public.ops_mission_proposals again on again.reaction_id = i.reaction_id
      left join ops.live_keys k on k.dedupe_key = i.dedupe_key and k.proposal_id <> i.id and (k.live or k.held_until > v_now)
      where same.id is not null or again.id is not null or k.proposal_id is not null) k
    left join public.ops_mission_proposals p on p.id = k.id
    left join public.ops_missions m on m.proposal_id = k.id);
  if not exists (select from unnest(v_known) k where k.status is null) then
    return v_known;
  end if;
  -- The window of a key may be longer than finished work stays. What has a key then was admitted, even if the archive has forgotten it.
  return array(
    select row(k.n, k.proposal_id, coalesce(k.status, a.status, 'approved'), coalesce(k.mission_id, m.id), k.reason, k.code,
      coalesce(k.verdict, a.data -> 'verdict', '{}'))::ops.gate_outcome
    from unnest(v_known) k
    left join ops.archive a on k.status is null and a.id = k.proposal_id and a.entity = 'proposal'
    left join ops.archive m on k.status is null and m.parent_id = k.proposal_id and m.entity = 'mission');
end
$$;

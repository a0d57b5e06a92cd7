-- The counters of caps, and whether there is room.
--
-- A counter counts for a day of the policy's time zone, in a scope, under a name. It has up to 16 rows, its stripes; a session counts in
-- the same stripe of all its counters. Of what is left under a limit each stripe is dealt a share, its room, so what all stripes together
-- may still give away is never more than that:
--
--   sum(used) + sum(room) <= limit        or no stripe has room
--
-- Proposals, one or a batch, count in their session's stripe if that has room for all of them in all of their counters, and meet only those
-- who share the stripe. Whoever finds no room there, and whoever comes from reactions, locks the whole day: all stripes of the day's own
-- counter, in their order. As everybody takes one of them before any other counter, no gate is open then; what is used is the exact sum,
-- and what is left is dealt anew. The limits stand beside the shares, so that shares of other limits than those in force count for nothing.
--
-- So no cap is ever exceeded however many gates stand open at once, and far from the caps they do not wait for each other. Nobody asks
-- for the whole day while holding one stripe: two of those would wait for each other for ever.

-- What was counted, beside the limits in force: the numbers of a verdict that found room.
create function ops.caps_counted(p_day date, p_units ops.cap_unit[]) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return jsonb_build_object(
    'day', p_day,
    'time_zone', coalesce(ops.policy('proposal_caps') ->> 'time_zone', 'UTC'),
    'counted', (
      select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
          'scope', u.scope, 'name', nullif(u.name, ''), 'used', coalesce(c.used, 0), 'limit', u.max_units,
          'used_usd', case when u.max_usd is not null then coalesce(c.used_usd, 0.000000) end, 'limit_usd', u.max_usd)) order by u.ordinality), '[]')
      from unnest(p_units) with ordinality u
      cross join lateral (select sum(s.used) as used, sum(s.used_usd) as used_usd from ops.cap_stripes s
        where s.day = p_day and s.scope = u.scope and s.name = u.name) c
      where u.max_units is not null or u.max_usd is not null));
end
$$;

-- The stripe that this session counts in. Sessions that were opened together have different ones.
create function ops.cap_stripe() returns integer
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return pg_backend_pid() % 16;
end
$$;

-- Counts in the stripe of this session: in all counters, or in none and null, when one of them has no room there.
-- Answers, as JSON text, what the counters with a limit then say. The day's own counter comes first, before all others; it alone counts money.
create function ops.count_in_stripe(p_day date, p_units ops.cap_unit[]) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
as $$
declare
  v_stripe integer := pg_backend_pid() % 16; -- ops.cap_stripe(), without the call
  v_unit ops.cap_unit;
  v_counters integer;
  v_used bigint;
  v_used_usd numeric;
  v_counted text := '';
begin
  begin
    -- The day's own row is locked before any other is looked at: the others are found by the stripe that this lock answers.
    update ops.cap_stripes c set used = c.used + u.units, used_usd = c.used_usd + u.usd, room = c.room - u.units, room_usd = c.room_usd - u.usd
    from unnest(p_units) u
    where c.stripe = (select s.stripe from ops.cap_stripes s
        where s.day = p_day and s.scope = 'daily' and s.name = '' and s.stripe = v_stripe for no key update)
      and c.day = p_day and c.scope = u.scope and c.name = u.name
      and c.max_units is not distinct from u.max_units and c.max_usd is not distinct from u.max_usd
      and (c.room >= u.units) is not false and (u.usd = 0 or c.room_usd >= u.usd) is not false;
    get diagnostics v_counters = row_count;
    if v_counters is distinct from array_length(p_units, 1) then
      raise exception using errcode = 'OPCAP'; -- lets go of the stripe
    end if;
  exception when sqlstate 'OPCAP' then
    return null;
  end;
  -- Read when all is counted: nobody deals anew as long as this stripe is held, so no sum is above its limit.
  foreach v_unit in array p_units loop
    continue when v_unit.max_units is null and v_unit.max_usd is null;
    select sum(s.used), sum(s.used_usd) into v_used, v_used_usd from ops.cap_stripes s
    where s.day = p_day and s.scope = v_unit.scope and s.name = v_unit.name;
    v_counted := concat(v_counted, case when v_counted <> '' then ', ' end, '{"scope": "', v_unit.scope, '", ',
      '"name": ' || to_json(nullif(v_unit.name, '')) || ', ', '"used": ', v_used,
      ', "limit": ' || v_unit.max_units, format(', "used_usd": %s, "limit_usd": ', v_used_usd) || v_unit.max_usd, '}');
  end loop;
  return v_counted;
end
$$;

-- Locks a whole day and makes what is missing of it; of a day whose counters have been tidied away nothing is made. Whoever holds one of
-- its stripes must not ask for this.
create function ops.lock_caps(p_day date) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_locked integer;
begin
  loop
    perform from ops.cap_stripes c where c.day = p_day and c.scope = 'daily' and c.name = '' order by c.stripe for no key update;
    get diagnostics v_locked = row_count;
    exit when v_locked = 16 or p_day < ops.oldest_cap_day();
    insert into ops.cap_stripes (day, scope, name, stripe) select p_day, 'daily', '', n from generate_series(0, 15) n on conflict do nothing;
  end loop;
end
$$;

-- Counts what fits, and deals out anew where this session's stripe has no share that is large enough; where there is no limit, none is
-- needed. A stripe that comes to a counter takes shares of another limit from the others: they would be good again when that limit is in
-- force again, and know nothing of what was counted here. The day is locked.
create function ops.count_caps(p_day date, p_units ops.cap_unit[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stripe integer := ops.cap_stripe();
  v_short ops.cap_unit[] := array(
    select u from unnest(p_units) u
    left join ops.cap_stripes c on c.day = p_day and c.scope = u.scope and c.name = u.name and c.stripe = v_stripe
    where c.max_units is distinct from u.max_units or c.max_usd is distinct from u.max_usd
      or c.room < u.units or (u.usd > 0 and c.room_usd < u.usd)
      or (c.stripe is null and exists (
        select from ops.cap_stripes o
        where o.day = p_day and o.scope = u.scope and o.name = u.name
          and (o.max_units is distinct from u.max_units or o.max_usd is distinct from u.max_usd))));
begin
  insert into ops.cap_stripes as c (day, scope, name, stripe, used, used_usd)
  select p_day, u.scope, u.name, v_stripe, u.units, u.usd from unnest(p_units) u
  on conflict (day, scope, name, stripe) do update set used = c.used + excluded.used, used_usd = c.used_usd + excluded.used_usd,
    room = case when c.room is not null then greatest(c.room - excluded.used, 0) end,
    room_usd = case when c.room_usd is not null then greatest(c.room_usd - excluded.used_usd, 0) end;
  if v_short <> '{}' then
    perform ops.deal_caps(p_day, v_short);
  end if;
end
$$;

-- Deals what is left under limits to the stripes of their counters, in equal shares. The day is locked, so that the rows that were read are
-- those that are changed: found where they stand, each costs the same however many there are.
create function ops.deal_caps(p_day date, p_units ops.cap_unit[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  update ops.cap_stripes c
  set max_units = d.max_units, max_usd = d.max_usd, room_usd = trunc(d.left_usd / d.stripes, 6),
    room = d.left_units / d.stripes + case when d.at <= d.left_units % d.stripes then 1 else 0 end
  from (
    select s.ctid as row, u.max_units, u.max_usd, count(*) over counter as stripes, row_number() over (counter order by s.stripe) as at,
      case when u.max_units is not null then greatest(u.max_units - sum(s.used) over counter, 0) end as left_units,
      case when u.max_usd is not null then greatest(u.max_usd - sum(s.used_usd) over counter, 0) end as left_usd
    from unnest(p_units) u join ops.cap_stripes s on s.day = p_day and s.scope = u.scope and s.name = u.name
    window counter as (partition by u.scope, u.name)) d
  where c.ctid = d.row;
end
$$;

-- Takes a place under every cap, or none; returns the verdict of the cap that has no room, or null. The day is locked.
create function ops.take_caps(p_day date, p_units ops.cap_unit[]) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_verdict jsonb := ops.cap_verdict(p_day, p_units);
begin
  if v_verdict is null then
    perform ops.count_caps(p_day, p_units);
  end if;
  return v_verdict;
end
$$;

-- Gives back what a proposal had taken. The shares stay as they were dealt; whoever finds none large enough deals anew. The day is locked.
create function ops.give_back_caps(p_day date, p_units ops.cap_unit[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  update ops.cap_stripes c set used = c.used - u.units, used_usd = c.used_usd - u.usd
  from unnest(p_units) u
  where c.day = p_day and c.scope = u.scope and c.name = u.name and c.stripe = (
    select min(s.stripe) from ops.cap_stripes s where s.day = p_day and s.scope = u.scope and s.name = u.name);
end
$$;

-- Corrects a day's money by what work cost more, or less, than was reserved for it. Costs are counted whatever the budget is. The whole day is
-- locked, also to give back: one call may settle several times, and must not ask for the day while it holds a stripe.
create function ops.settle_usd(p_day date, p_usd numeric) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform ops.lock_caps(p_day);
  update ops.cap_stripes c set used_usd = c.used_usd + p_usd
  where c.day = p_day and c.scope = 'daily' and c.name = '' and c.stripe = 0;
  if p_usd > 0 then
    perform ops.deal_caps(p_day, array(
      select row('daily', '', 0, 0, c.max_units, c.max_usd)::ops.cap_unit from ops.cap_stripes c
      where c.day = p_day and c.scope = 'daily' and c.name = '' and c.stripe = 0));
  end if;
end
$$;

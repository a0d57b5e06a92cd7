-- Housekeeping: what has had its time goes, as policy `retention` says. Small batches, oldest first, waiting for nobody: what somebody
-- holds is met next time.

-- The first day whose cap counters are kept.
create function ops.oldest_cap_day() returns date
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce((select day from ops.caps_kept_from), '-infinity');
end
$$;

-- Tidies up: archives finished chains, forgets archived rows (where the policy says so), and deletes what nothing asks for any more.
-- Takes at most p_limit (1..10000) rows of each kind, and as many chains as the policy's batch_size, at most p_limit; call it until
-- it answers more = false. Counts what it did. Does nothing while somebody else is at it, or when it was done to the end less than
-- p_every_minutes ago.
create function public.ops_housekeeping(p_limit integer default 1000, p_every_minutes integer default 60)
returns table (archived_chains integer, forgotten_rows integer, deleted_rows integer, more boolean)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set random_page_cost = 1.1
as $$
#variable_conflict use_column
declare
  v_now timestamptz := ops.now();
  v_policy jsonb := coalesce(ops.policy('retention'), '{}');
  v_keep interval := coalesce((v_policy ->> 'archive_after_days')::integer, 90) * interval '1 day';
  v_beats timestamptz := v_now - coalesce((v_policy ->> 'heartbeat_days')::integer, 7) * interval '1 day';
  v_forget timestamptz := v_now - (v_policy ->> 'delete_archived_after_days')::integer * interval '1 day';
  v_limit integer := least(greatest(p_limit, 1), 10000);
  v_chains integer := least(coalesce((v_policy ->> 'batch_size')::integer, 1000), v_limit);
  v_day date;
  v_rows integer;
begin
  archived_chains := 0;
  deleted_rows := 0;
  forgotten_rows := 0;
  more := false;
  if not pg_try_advisory_xact_lock(hashtextextended('ops housekeeping', 0))
    or exists (select from ops.housekept where at > v_now - p_every_minutes * interval '1 minute')
  then
    return next;
    return;
  end if;

  select a.chains into archived_chains from public.ops_archive(v_keep, v_chains) a;
  more := archived_chains >= v_chains;

  if v_forget is not null then
    delete from ops.archive a using (
      select id, entity from ops.archive where archived_at < v_forget order by archived_at limit v_limit for update skip locked) old
    where a.id = old.id and a.entity = old.entity;
    get diagnostics forgotten_rows = row_count;
    more := more or forgotten_rows >= v_limit;
  end if;

  -- Beats. The last one stays, however old: /health tells of it.
  delete from public.ops_agent_events e using (
    select id from public.ops_agent_events
    where type in ('heartbeat:success', 'heartbeat:failure') and created_at < v_beats
    order by created_at limit v_limit for update skip locked) old
  where e.id = old.id;
  get diagnostics v_rows = row_count;
  deleted_rows := deleted_rows + v_rows;
  more := more or v_rows >= v_limit;
  delete from ops.heartbeats h using (
    select id from ops.heartbeats
    where at < v_beats and at < (select max(l.at) from ops.heartbeats l)
    order by at limit v_limit for update skip locked) old
  where h.id = old.id;
  get diagnostics v_rows = row_count;
  deleted_rows := deleted_rows + v_rows;
  more := more or v_rows >= v_limit;

  -- Worker processes that ended long ago.
  delete from ops.workers w using (
    select id from ops.workers where last_seen_at < v_beats order by last_seen_at limit v_limit for update skip locked) old
  where w.id = old.id;
  get diagnostics v_rows = row_count;
  deleted_rows := deleted_rows + v_rows;
  more := more or v_rows >= v_limit;

  -- Evidence goes with what it speaks of. Ids are ordered by time.
  delete from ops.late_results l using (
    select o.id from (select id, received_at from ops.late_results order by id limit v_limit) o where o.received_at < v_now - v_keep) old
  where l.id = old.id;
  get diagnostics v_rows = row_count;
  deleted_rows := deleted_rows + v_rows;
  more := more or v_rows >= v_limit;

  -- Guards of patterns: a cooldown lasts a year at most, a threshold looks back a week.
  delete from ops.cooldowns c using (
    select pattern_id, key, shadow from ops.cooldowns where fired_at < v_now - interval '366 days' limit v_limit for update skip locked) old
  where c.pattern_id = old.pattern_id and c.key = old.key and c.shadow = old.shadow;
  get diagnostics v_rows = row_count;
  deleted_rows := deleted_rows + v_rows;
  delete from ops.threshold_hits h using (
    select ctid as place from ops.threshold_hits where at < v_now - interval '8 days' limit v_limit for update skip locked) old
  where h.ctid = old.place;
  get diagnostics v_rows = row_count;
  deleted_rows := deleted_rows + v_rows;
  more := more or v_rows >= v_limit;

  -- Keys whose window is over.
  delete from ops.live_keys k using (
    select dedupe_key from ops.live_keys where not live and coalesce(held_until, '-infinity') < v_now
    limit v_limit for update skip locked) old
  where k.dedupe_key = old.dedupe_key;
  get diagnostics v_rows = row_count;
  deleted_rows := deleted_rows + v_rows;
  more := more or v_rows >= v_limit;

  -- Counters of days gone by, and the mark that tells up to where.
  v_day := (v_now - v_keep)::date - 2;
  if exists (select from ops.cap_stripes where day < v_day) then
    insert into ops.caps_kept_from as f (day) values (v_day) on conflict (one) do update set day = greatest(f.day, excluded.day);
    delete from ops.cap_stripes where day < v_day;
    get diagnostics v_rows = row_count;
    deleted_rows := deleted_rows + v_rows;
  end if;
  delete from ops.request_counts where minute < v_now - interval '1 hour';
  delete from ops.sleepers where until < v_now - interval '1 day';
  if not more then
    insert into ops.housekept (at) values (v_now) on conflict (one) do update set at = excluded.at;
  end if;
  return next;
end
$$;

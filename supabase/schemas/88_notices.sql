-- The outbox: notices are taken under a lease by whoever delivers them, and what came of it is recorded.

-- Takes up to p_limit notices that are due, under a lease, the oldest first; only those of some channels and of one rule, if these are
-- given. Notices about one alert leave through a channel one after the other. A restored copy tells nobody: what waits in it was or
-- will be told by the database that it was taken from.
create function ops.take_notices(p_limit integer, p_lease_seconds integer, p_channels text[] default null, p_rule text default null)
returns table (id uuid, token uuid, channel text, config jsonb, message jsonb, attempt integer)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_channels jsonb := coalesce(ops.policy('alerts') -> 'channels', '{}');
begin
  if ops.on_hold() then
    return;
  end if;
  return query
  with due as materialized (
    select n.id from ops.alert_notices n
    where n.status = 'pending' and n.due_at <= ops.now() and coalesce(n.lease_expires_at, '-infinity') <= ops.now()
      and (p_channels is null or n.channel = any (p_channels))
      and (p_rule is null or exists (select from ops.alerts a where a.id = n.alert_id and a.rule = p_rule))
      and not exists (select from ops.alert_notices e
                      where e.alert_id = n.alert_id and e.channel = n.channel and e.number < n.number and e.status = 'pending')
    order by n.due_at, n.id limit least(p_limit, 100) for update skip locked
  )
  update ops.alert_notices n
  set lease_token = gen_random_uuid(), lease_expires_at = ops.now() + least(p_lease_seconds, 600) * interval '1 second', attempts = n.attempts + 1
  from due d where n.id = d.id
  returning n.id, n.lease_token, n.channel, v_channels -> n.channel, n.message, n.attempts;
end
$$;

-- Takes up to p_limit notices (1..100) that are due. Answers what to send, and the channel as policy describes it.
create function public.ops_claim_notices(p_limit integer default 20, p_lease_seconds integer default 120)
returns table (id uuid, token uuid, channel text, config jsonb, message jsonb, attempt integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_channels jsonb := coalesce(ops.policy('alerts') -> 'channels', '{}');
begin
  update ops.alert_notices n set status = 'skipped', last_error = 'there is no such channel any more', lease_token = null, lease_expires_at = null
  where n.status = 'pending' and not v_channels ? n.channel;
  return query select * from ops.take_notices(p_limit, p_lease_seconds);
end
$$;

-- What came of sending a notice: delivered, later (again after p_after_seconds, or with backoff from 30 s to 1 h; given up after a day), refused, or
-- skipped because the channel is not set up. Answers ok, or lost when the lease is another's by now.
create function public.ops_record_notice(p_id uuid, p_token uuid, p_outcome text, p_detail jsonb default '{}', p_error text default null,
  p_after_seconds integer default null)
returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_notice ops.alert_notices;
begin
  if p_outcome not in ('delivered', 'later', 'refused', 'skipped') then
    perform ops.fail('OPS_011', 'p_outcome must be delivered, later, refused or skipped', 'p_outcome');
  end if;
  update ops.alert_notices n
  set lease_token = null, lease_expires_at = null, last_error = left(p_error, 2000), detail = p_detail,
    status = case when p_outcome <> 'later' then p_outcome when n.created_at < ops.now() - interval '1 day' then 'refused' else 'pending' end,
    delivered_at = case when p_outcome = 'delivered' then ops.now() end,
    due_at = case when p_outcome = 'later'
      then ops.now() + greatest(least(30 * 2 ^ least(n.attempts - 1, 12), 3600), least(coalesce(p_after_seconds, 0), 86400)) * interval '1 second' else n.due_at end
  where n.id = p_id and n.lease_token = p_token and n.status = 'pending'
  returning * into v_notice;
  if not found then
    return 'lost';
  end if;
  if p_outcome = 'delivered' then
    insert into ops.channels (name, last_ok_at) values (v_notice.channel, ops.now())
    on conflict (name) do update set failures = 0, last_error = null, last_ok_at = ops.now();
  elsif p_outcome in ('later', 'refused') then
    insert into ops.channels as c (name, failures, last_error, last_failure_at) values (v_notice.channel, 1, left(p_error, 2000), ops.now())
    on conflict (name) do update set failures = c.failures + 1, last_error = excluded.last_error, last_failure_at = ops.now();
  end if;
  return 'ok';
end
$$;

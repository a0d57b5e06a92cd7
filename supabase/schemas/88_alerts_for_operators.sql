-- Alerts for operators: what is wrong, who has seen it, what nobody wants to be told of.

-- Alerts, newest first, at most 200; p_filter {"id"?, "status"?, "rule"?, "severity"?}, p_after is the last id of the page before.
create function public.ops_list_alerts(p_filter jsonb default '{}', p_limit integer default 50, p_after uuid default null) returns setof jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select to_jsonb(a) || jsonb_build_object('priority', ops.priority(a.severity), 'silenced', ops.silenced(a.rule, a.subject))
  from ops.alerts a
  where (p_after is null or a.id < p_after)
    and (not p_filter ? 'id' or a.id = (p_filter ->> 'id')::uuid)
    and (not p_filter ? 'status' or a.status = p_filter ->> 'status')
    and (not p_filter ? 'rule' or a.rule = p_filter ->> 'rule')
    and (not p_filter ? 'severity' or a.severity = p_filter ->> 'severity')
  order by a.id desc limit least(p_limit, 200)
$$;

-- Somebody has taken an alert on: it is told again only when it gets worse, or ends. Doing it again changes nothing.
-- Errors: OPS_011 without a name, OPS_013 unknown, OPS_014 when it is over.
create function public.ops_acknowledge_alert(p_alert_id uuid, p_actor text, p_note text default null) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_alert ops.alerts;
begin
  if length(coalesce(p_actor, '')) not between 1 and 200 then
    perform ops.fail('OPS_011', 'p_actor must have 1 to 200 characters', 'p_actor');
  end if;
  select * into v_alert from ops.alerts where id = p_alert_id for update;
  if not found then
    perform ops.fail('OPS_013', format('there is no alert %s', p_alert_id), 'p_alert_id');
  elsif v_alert.status <> 'open' then
    perform ops.fail('OPS_014', format('alert %s was resolved at %s', p_alert_id, v_alert.resolved_at), 'status');
  end if;
  update ops.alerts set acknowledged_at = coalesce(acknowledged_at, ops.now()), acknowledged_by = coalesce(acknowledged_by, p_actor),
    note = coalesce(p_note, note)
  where id = p_alert_id returning * into v_alert;
  return to_jsonb(v_alert) || jsonb_build_object('priority', ops.priority(v_alert.severity), 'silenced', ops.silenced(v_alert.rule, v_alert.subject));
end
$$;

-- Keeps a rule ('*': all) quiet for some minutes (1..43200), for one subject or all (null), with a reason. What is still open then is told.
-- Notices that have not left yet stay unsent. Errors: OPS_011.
create function public.ops_silence_alerts(p_rule text, p_minutes integer, p_reason text, p_actor text, p_subject text default null)
returns table (silence_id uuid, until timestamptz)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  if p_minutes is null or p_minutes not between 1 and 43200 then
    perform ops.fail('OPS_011', 'a silence lasts 1 to 43200 minutes, 30 days', 'p_minutes');
  elsif length(coalesce(p_reason, '')) not between 1 and 1000 then
    perform ops.fail('OPS_011', 'a silence needs a reason of 1 to 1000 characters', 'p_reason');
  elsif length(coalesce(p_actor, '')) not between 1 and 200 then
    perform ops.fail('OPS_011', 'p_actor must have 1 to 200 characters', 'p_actor');
  elsif p_rule is distinct from '*' and p_rule is distinct from 'invariant' and p_rule is distinct from 'rule_failed'
    and not exists (select from ops.policy_schemas s where s.key = 'alerts' and s.schema #> '{properties,rules,properties}' ? p_rule)
  then
    perform ops.fail('OPS_011', format('there is no rule "%s"', p_rule), 'p_rule',
      'known rules: *, invariant, rule_failed, ' || (select string_agg(k, ', ' order by k) from ops.policy_schemas s,
        jsonb_object_keys(s.schema #> '{properties,rules,properties}') k where s.key = 'alerts'));
  end if;
  update ops.alert_notices n set status = 'skipped', last_error = 'silenced by ' || p_actor, lease_token = null, lease_expires_at = null
  from ops.alerts a
  where n.alert_id = a.id and n.status = 'pending' and n.lease_token is null and p_rule in (a.rule, '*') and (p_subject is null or a.subject = p_subject);
  return query
  insert into ops.silences as s (rule, subject, until, reason, actor) values (p_rule, p_subject, ops.now() + p_minutes * interval '1 minute', p_reason, p_actor)
  returning s.id, s.until;
end
$$;

-- Alerts as rows.
create view public.ops_alerts with (security_invoker = true) as
  select id, rule, subject, severity, case severity when 'critical' then 'P0' when 'high' then 'P1' when 'warning' then 'P2' else 'P3' end as priority,
    status, summary, value, threshold, opened_at, last_seen_at, resolved_at, acknowledged_at, acknowledged_by, note, notices
  from ops.alerts;

-- What was told through which channel, and what could not be.
create view public.ops_alert_notices with (security_invoker = true) as
  select id, alert_id, number, transition, channel, status, attempts, due_at, delivered_at, last_error, created_at, message from ops.alert_notices;

create view public.ops_silences with (security_invoker = true) as
  select id, rule, subject, until, reason, actor, created_at from ops.silences;

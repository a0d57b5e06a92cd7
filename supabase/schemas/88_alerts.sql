-- Alerts: policy `alerts` says when the loop asks for a person, and which way.
--
--   rule broken ──▶ open ──worse──▶ escalated ──still there──▶ repeated … ──kept for a while──▶ resolved
--
-- Each of these is told once through every channel that the severity is routed to, as a notice in the outbox: whoever delivers takes a
-- notice under a lease, so that a crash loses none, and sends it under the notice's id, so that a receiver can tell a repetition.
-- Acknowledged alerts are told again only when they get worse or end; silenced ones are not told of at all.

create function ops.severity_rank(p_severity text) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return array_position(array['info', 'warning', 'high', 'critical'], p_severity);
end
$$;

-- How severities are called where people are woken: P0 critical, P1 high, P2 warning, P3 info.
create function ops.priority(p_severity text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return 'P' || 4 - ops.severity_rank(p_severity);
end
$$;

-- Whether a value breaks a rule at a threshold. Rules say by their nature which side is bad.
create function ops.breaks(p_rule text, p_value numeric, p_threshold numeric) returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when p_threshold is null or p_value is null then false
    when p_rule = 'mission_success_percent' then p_value < p_threshold
    when p_rule in ('heartbeat_failures', 'heartbeat_silence_minutes', 'worker_idle_minutes', 'unclaimable_minutes', 'pattern_errors_per_hour',
      'quarantined_patterns', 'service_down_minutes', 'channel_failures') then p_value >= p_threshold
    else p_value > p_threshold end;
end
$$;

-- Looks at every rule, when it is time to, for one of any number of callers. p_reports are numbers that only the caller knows:
-- {"database_latency_ms": 3.2, …}. A rule that cannot be measured stops no other and is an alert itself. Returns how many alerts are open,
-- or null when it was not time.
create function public.ops_evaluate_alerts(p_reports jsonb default '{}') returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy jsonb := coalesce(ops.policy('alerts'), '{}');
  v_rule record;
  v_measure record;
  v_severity text;
  v_seen text[];
  v_broken text[] := '{}';
begin
  if not ops.take_turn('alerts', coalesce((v_policy ->> 'every_minutes')::numeric, 1)) then
    return null;
  end if;
  perform public.ops_report(r.key, r.value::numeric) from jsonb_each_text(p_reports) r;
  if not coalesce((v_policy ->> 'enabled')::boolean, true) then
    v_policy := '{"violations": false}';
  end if;

  for v_rule in select r.key as name, (r.value ->> 'warning')::numeric as warning, (r.value ->> 'critical')::numeric as critical
    from jsonb_each(coalesce(v_policy -> 'rules', '{}')) r
  loop
    begin
      v_seen := '{}';
      for v_measure in select * from ops.measure(v_rule.name, ops.count_up_to(v_rule.warning, v_rule.critical)) loop
        v_severity := case when ops.breaks(v_rule.name, v_measure.value, v_rule.critical) then 'critical'
          when ops.breaks(v_rule.name, v_measure.value, v_rule.warning) then 'warning' end;
        continue when v_severity is null;
        v_seen := v_seen || left(v_measure.subject, 500);
        perform ops.raise_alert(v_rule.name, v_measure.subject, v_severity, v_measure.value,
          case v_severity when 'critical' then v_rule.critical else v_rule.warning end, v_measure.summary);
      end loop;
      perform ops.clear_alerts(v_rule.name, v_seen);
    exception
      when query_canceled then
        raise;
      when others then
        v_broken := v_broken || v_rule.name;
        perform ops.raise_alert('rule_failed', v_rule.name, 'warning', null, null, format('rule %s cannot be measured: %s', v_rule.name, sqlerrm));
    end;
  end loop;
  perform ops.clear_alerts('rule_failed', v_broken);
  perform ops.alert_violations(coalesce((v_policy ->> 'violations')::boolean, true));
  perform ops.clear_alerts(a.rule, '{}', true) from (
    select distinct rule from ops.alerts where status = 'open' and rule not in ('rule_failed', 'invariant')
      and not coalesce(v_policy -> 'rules', '{}') ? rule) a;
  perform ops.send_digest(v_policy -> 'digest');
  return (select count(*) from ops.alerts where status = 'open');
end
$$;

-- An alert for each check that is violated, with the severity of the check.
create function ops.alert_violations(p_wanted boolean) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_check record;
  v_seen text[] := '{}';
begin
  for v_check in
    select v.check_name, count(*) as n, (array_agg(v.severity order by ops.severity_rank(v.severity) desc))[1] as severity,
      (array_agg(v.message order by v.created_at))[1] as message
    from ops.invariant_violations v where not v.resolved and p_wanted group by v.check_name
  loop
    v_seen := v_seen || v_check.check_name;
    perform ops.raise_alert('invariant', v_check.check_name, v_check.severity, v_check.n, 0,
      format('%s violation%s of %s: %s', v_check.n, case when v_check.n > 1 then 's' else '' end, v_check.check_name, v_check.message));
  end loop;
  perform ops.clear_alerts('invariant', v_seen, not p_wanted);
end
$$;

-- Opens an alert or brings it up to date, and tells of what is new about it.
create function ops.raise_alert(p_rule text, p_subject text, p_severity text, p_value numeric, p_threshold numeric, p_summary text, p_details jsonb default '{}')
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_alert ops.alerts;
begin
  insert into ops.alerts as a (rule, subject, severity, summary, details, value, threshold)
  values (p_rule, left(p_subject, 500), p_severity, left(p_summary, 1000), p_details, p_value, p_threshold)
  on conflict (rule, subject) where status = 'open' do update
  set severity = case when ops.severity_rank(excluded.severity) > ops.severity_rank(a.severity) then excluded.severity else a.severity end,
    summary = excluded.summary, details = excluded.details, value = excluded.value, threshold = excluded.threshold,
    last_seen_at = ops.now(), clear_since = null
  returning * into v_alert;

  if v_alert.told_at is null then
    perform ops.tell(v_alert, 'opened');
  elsif ops.severity_rank(v_alert.severity) > ops.severity_rank(v_alert.told_severity) then
    -- Whoever has acknowledged the lesser trouble has not heard of this one.
    update ops.alerts set acknowledged_at = null, acknowledged_by = null where id = v_alert.id;
    perform ops.tell(v_alert, 'escalated');
  elsif v_alert.acknowledged_at is null
    and v_alert.told_at <= ops.now() - coalesce((ops.policy('alerts') ->> 'repeat_minutes')::numeric, 240) * interval '1 minute'
  then
    perform ops.tell(v_alert, 'repeated');
  end if;
end
$$;

-- Ends the alerts of a rule whose subjects are no longer in trouble, once they have been so for a while (p_at_once: now).
create function ops.clear_alerts(p_rule text, p_except text[] default '{}', p_at_once boolean default false) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_hold interval := case when p_at_once then interval '0'
    else coalesce((ops.policy('alerts') ->> 'resolve_after_minutes')::numeric, 5) * interval '1 minute' end;
  v_alert ops.alerts;
begin
  for v_alert in
    update ops.alerts a set clear_since = coalesce(a.clear_since, ops.now())
    where a.rule = p_rule and a.status = 'open' and a.subject <> all (p_except)
    returning a.*
  loop
    continue when v_alert.clear_since > ops.now() - v_hold;
    update ops.alerts a set status = 'resolved', resolved_at = ops.now() where a.id = v_alert.id returning * into v_alert;
    if v_alert.told_at is not null then
      perform ops.tell(v_alert, 'resolved');
    end if;
  end loop;
end
$$;

create function ops.silenced(p_rule text, p_subject text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from ops.silences s where s.rule in (p_rule, '*') and (s.subject is null or s.subject = p_subject) and s.until > ops.now());
end
$$;

-- Puts a notice for each channel of the alert's severity into the outbox, unless somebody has silenced it. What a channel cannot
-- deliver is not told through that channel.
create function ops.tell(p_alert ops.alerts, p_transition text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy jsonb := coalesce(ops.policy('alerts'), '{}');
  v_default jsonb := case when p_alert.severity = 'info' then '[]' else '["slack"]' end::jsonb;
begin
  if ops.silenced(p_alert.rule, p_alert.subject) then
    return;
  end if;
  update ops.alerts a set told_at = ops.now(), told_severity = p_alert.severity, notices = a.notices + 1 where a.id = p_alert.id
  returning a.notices into p_alert.notices;
  insert into ops.alert_notices (alert_id, number, transition, channel, message)
  select p_alert.id, p_alert.notices, p_transition, c.channel, jsonb_build_object(
    'alert_id', p_alert.id, 'rule', p_alert.rule, 'subject', p_alert.subject, 'transition', p_transition, 'severity', p_alert.severity,
    'priority', ops.priority(p_alert.severity), 'summary', p_alert.summary, 'value', p_alert.value, 'threshold', p_alert.threshold,
    'opened_at', p_alert.opened_at, 'at', ops.now())
  from (select distinct jsonb_array_elements_text(coalesce(v_policy #> array['routes', p_alert.severity], v_default)) as channel) c
  where coalesce(v_policy -> 'channels', '{}') ? c.channel and not (p_alert.rule = 'channel_failures' and p_alert.subject = c.channel)
  order by c.channel;
end
$$;

-- Rights, by name. anon and authenticated get nothing, and neither does the public.
--
-- `ops.seal()` is the one place that says who may do what. Every migration calls it at its end, and where the database allows
-- event triggers it also runs whenever somebody adds or renames an `ops_*` object of schema public, because Supabase's default grants would
-- open that to the world.

create function ops.seal() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object record;
  v_worker text[] := array['ops_register_worker', 'ops_worker_heartbeat', 'ops_claim_steps', 'ops_handed_steps', 'ops_claim_next_step', 'ops_renew_steps',
    'ops_complete_steps', 'ops_fail_steps', 'ops_snooze_steps', 'ops_release_steps', 'ops_radar_add', 'ops_radar_update', 'ops_radar_list',
    'ops_recover_expired_leases', 'ops_recover_stale_steps', 'ops_watch_heartbeat', 'ops_claim_silence_notices', 'ops_record_notice'];
  v_reader text[] := array['ops_hold', 'ops_overview', 'ops_doctor', 'ops_watch_state', 'ops_trace', 'ops_why', 'ops_timeline', 'ops_health', 'ops_read_policies', 'ops_list_events', 'ops_list_proposals',
    'ops_list_missions', 'ops_list_steps', 'ops_radar_list', 'ops_cap_usage', 'ops_gate_proposal', 'ops_is_auto_approvable', 'ops_extract_step_kinds',
    'ops_list_services', 'ops_policy_changes', 'ops_policies_at', 'ops_recording',
    'ops_list_checks', 'ops_list_violations', 'ops_list_alerts'];
  v_operator text[] := array['ops_release_hold', 'ops_approve_proposal', 'ops_reject_proposal', 'ops_cancel_mission', 'ops_cancel_step', 'ops_retry_step',
    'ops_retry_dead_steps', 'ops_policy_rollback', 'ops_apply_policies', 'ops_maybe_finalize_mission', 'ops_recover_expired_leases', 'ops_recover_stale_steps',
    'ops_emit_events', 'ops_create_proposal_and_maybe_autoapprove', 'ops_archive', 'ops_radar_add', 'ops_radar_update',
    'ops_run_checks', 'ops_define_check', 'ops_acknowledge_alert', 'ops_silence_alerts'];
begin
  -- One at a time: two that change the same grants at once would fail.
  perform pg_advisory_xact_lock(hashtextextended('ops seal', 0));

  for v_object in
    select p.oid::regprocedure as name, p.proname from pg_proc p
    where p.pronamespace = 'public'::regnamespace and p.proname like 'ops\_%' and pg_has_role(p.proowner, 'usage')
  loop
    execute format('revoke all on routine %s from public, anon, authenticated, service_role, ops_worker, ops_operator, ops_readonly', v_object.name);
    execute format('grant execute on routine %s to service_role', v_object.name);
    if v_object.proname = any (v_worker) then
      execute format('grant execute on routine %s to ops_worker', v_object.name);
    end if;
    if v_object.proname = any (v_reader) then
      execute format('grant execute on routine %s to ops_operator, ops_readonly', v_object.name);
    end if;
    if v_object.proname = any (v_operator) then
      execute format('grant execute on routine %s to ops_operator', v_object.name);
    end if;
  end loop;

  for v_object in
    select c.oid::regclass as name, c.relname, c.relkind from pg_class c
    where c.relnamespace = 'public'::regnamespace and (c.relname like 'ops\_%' or c.relname = 'invariant_violations')
      and c.relkind in ('r', 'v', 'm', 'p', 'f', 'S') and pg_has_role(c.relowner, 'usage')
  loop
    execute format('revoke all on %s from public, anon, authenticated, service_role, ops_worker, ops_operator, ops_readonly', v_object.name);
    execute format('grant select on %s to service_role, ops_operator, ops_readonly', v_object.name);
    if v_object.relkind in ('r', 'p') then
      execute format('grant insert, update, delete on %s to service_role', v_object.name);
    elsif v_object.relkind = 'S' then
      execute format('grant usage on sequence %s to service_role', v_object.name);
    end if;
  end loop;
  grant insert, update, delete on public.ops_policy to ops_operator;
  -- All of a step but its revision: who writes that, the triggers on hand edits take for the engine.
  revoke insert, update on public.ops_mission_steps from service_role;
  execute format('grant delete, insert (%1$s), update (%1$s) on public.ops_mission_steps to service_role, ops_operator', (
    select string_agg(quote_ident(a.attname), ', ') from pg_attribute a
    where a.attrelid = 'public.ops_mission_steps'::regclass and a.attnum > 0 and not a.attisdropped and a.attname <> 'revision'));
  grant insert, update, delete on public.ops_demand_radar to ops_operator;
  grant insert on public.ops_policy_audit to service_role, ops_operator;

  for v_object in
    select p.oid::regprocedure as name from pg_proc p
    where p.pronamespace = 'ops'::regnamespace and pg_has_role(p.proowner, 'usage')
  loop
    execute format('revoke all on routine %s from public, anon, authenticated, service_role, ops_worker, ops_operator, ops_readonly', v_object.name);
  end loop;
  -- Column defaults and views need these.
  grant execute on function ops.now(), ops.new_id() to service_role, ops_operator, ops_readonly;
  grant select on ops.policy_history, ops.policy_audit, ops.workers, ops.shadow_reactions, ops.services, ops.service_checks, ops.invariant_violations, ops.check_runs,
    ops.canaries, ops.alerts, ops.alert_notices, ops.silences, ops.schedules, ops.queue, ops.claims, ops.running_steps, ops.open_missions to service_role, ops_operator, ops_readonly;
  -- Checks read all of the loop, and call what reads it for them.
  grant usage on schema public, ops to ops_monitor;
  for v_object in
    select c.oid::regclass as name from pg_class c
    where c.relkind in ('r', 'v') and (c.relnamespace = 'ops'::regnamespace or (c.relnamespace = 'public'::regnamespace and c.relname like 'ops\_%'))
      and pg_has_role(c.relowner, 'usage')
  loop
    execute format('grant select on %s to ops_monitor', v_object.name);
  end loop;
  -- With its own rights, which are to read.
  for v_object in
    select p.oid::regprocedure as name from pg_proc p
    where p.pronamespace = 'ops'::regnamespace and pg_has_role(p.proowner, 'usage') and p.provolatile <> 'v' and not p.prosecdef
  loop
    execute format('grant execute on routine %s to ops_monitor', v_object.name);
  end loop;
  grant execute on function ops.now() to ops_monitor;
end
$$;

-- Row level security: on for every table, with a policy for each role that has business there.
do $$
declare
  v_table text;
begin
  foreach v_table in array array['ops_policy', 'ops_mission_proposals', 'ops_missions', 'ops_mission_steps', 'ops_agent_events',
    'ops_agent_reactions', 'ops_action_runs', 'ops_demand_radar']
  loop
    execute format('alter table public.%I enable row level security', v_table);
    execute format('create policy control_plane on public.%I for all to service_role using (true) with check (true)', v_table);
    execute format('create policy readers on public.%I for select to ops_readonly using (true)', v_table);
    execute format('create policy monitor on public.%I for select to ops_monitor using (true)', v_table);
    if v_table in ('ops_policy', 'ops_mission_steps', 'ops_demand_radar') then
      execute format('create policy operators on public.%I for all to ops_operator using (true) with check (true)', v_table);
    else
      execute format('create policy operators on public.%I for select to ops_operator using (true)', v_table);
    end if;
  end loop;
  for v_table in select relname from pg_class where relnamespace = 'ops'::regnamespace and relkind = 'r' loop
    execute format('alter table ops.%I enable row level security', v_table);
    execute format('create policy monitor on ops.%I for select to ops_monitor using (true)', v_table);
    if v_table in ('policy_history', 'policy_audit', 'workers', 'shadow_reactions', 'services', 'service_checks', 'invariant_violations', 'check_runs', 'canaries', 'alerts',
      'alert_notices', 'silences', 'schedules', 'queue', 'claims') then
      execute format('create policy readers on ops.%I for select to service_role, ops_operator, ops_readonly using (true)', v_table);
    end if;
  end loop;
end
$$;

create function ops.seal_on_ddl() returns event_trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from pg_event_trigger_ddl_commands() c
             where c.schema_name = 'public'
               and c.object_type in ('function', 'procedure', 'aggregate', 'table', 'view', 'materialized view', 'foreign table', 'sequence')
               and c.object_identity ~ '^public\."?(ops_|invariant_violations)')
  then
    perform ops.seal();
  end if;
end
$$;

do $$
begin
  create event trigger ops_seal on ddl_command_end execute function ops.seal_on_ddl();
exception when insufficient_privilege then
  raise notice 'event triggers are not allowed here: run select ops.seal() after adding ops_* objects by hand';
end
$$;

do $$ begin perform ops.seal(); end $$;

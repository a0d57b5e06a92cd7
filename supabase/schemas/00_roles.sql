-- Roles: who may touch the engine.
--
-- service_role   the control plane (Supabase's own role)
-- ops_worker     claims and records; no table of its own to read or write
-- ops_operator   a person: reads all, edits policies, resets steps, decides proposals
-- ops_readonly   dashboards
-- ops_monitor    what invariants are checked as: reads all of the loop, and whatever tables of yours you grant to it
--
-- They are groups without login. A worker's or operator's own login is made `in role ops_worker`, or comes
-- through PostgREST in the `role` claim of a JWT. Roles belong to the cluster, so another database's
-- migration may be making them at this very moment.

do $$
declare
  v_role text;
begin
  foreach v_role in array array['anon', 'authenticated', 'service_role', 'ops_worker', 'ops_operator', 'ops_readonly', 'ops_monitor'] loop
    begin
      if not exists (select from pg_catalog.pg_roles where rolname = v_role) then
        execute format('create role %I nologin', v_role);
      end if;
    exception
      when duplicate_object or unique_violation then
        null;
    end;
  end loop;

  if exists (select from pg_catalog.pg_roles where rolname = 'authenticator') then
    for v_role in
      select r from unnest(array['ops_worker', 'ops_operator', 'ops_readonly']) r
      where not pg_has_role('authenticator', r, 'member')
    loop
      execute format('grant %I to authenticator', v_role);
    end loop;
  end if;

  -- The function that runs the checks belongs to ops_monitor (86_monitor.sql), which only a member can arrange.
  if not pg_has_role('ops_monitor', 'usage') then
    begin
      execute format('grant ops_monitor to %I', current_user);
    exception
      when unique_violation or internal_error then
        null; -- somebody granted the same at this moment
    end;
  end if;
end
$$;

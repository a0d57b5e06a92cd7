-- Roles: who may touch the engine.
--
-- service_role   the control plane (Supabase's own role)
-- ops_worker     claims and records; no table of its own to read or write
-- ops_operator   a person: reads all, edits policies, resets steps, decides proposals
-- ops_readonly   dashboards
--
-- They are groups without login. A worker's or operator's own login is made `in role ops_worker`, or comes
-- through PostgREST in the `role` claim of a JWT. Roles belong to the cluster, so another database's
-- migration may be making them at this very moment.

do $$
declare
  v_role text;
begin
  foreach v_role in array array['anon', 'authenticated', 'service_role', 'ops_worker', 'ops_operator', 'ops_readonly'] loop
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
end
$$;

-- Renewals: a lease is prolonged by its token, or its worker learns that it is lost.

-- Prolongs leases: [{"step_id", "token"}], at most 1,000. Outcomes: ok (with the new deadline), lost (abort the work now), or busy:
-- somebody is ending that step at this moment, ask again soon.
create function public.ops_renew_steps(p_leases jsonb, p_lease_seconds integer default null)
returns table (step_id uuid, outcome text, lease_expires_at timestamptz)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
#variable_conflict use_column
declare
  v_now timestamptz := ops.now();
begin
  perform ops.require_array(p_leases, 'p_leases', 1000);
  if p_lease_seconds not between 1 and 86400 then
    perform ops.fail('OPS_011', 'a lease lasts 1 second to 24 hours', 'p_lease_seconds');
  end if;
  return query
  with given as materialized (
    select distinct g.step_id, g.token from jsonb_to_recordset(p_leases) as g(step_id uuid, token uuid)
  ), free as materialized (
    select s.id, s.worker_id from public.ops_mission_steps s join given g on g.step_id = s.id and g.token = s.lease_token
    for no key update of s skip locked
  ), term as materialized (
    select f.worker_id, coalesce(p_lease_seconds, (ops.claim_terms(f.worker_id)).lease_seconds) as seconds
    from (select distinct worker_id from free) f
  ), renewed as (
    update public.ops_mission_steps s
    set lease_expires_at = v_now + t.seconds * interval '1 second'
    from free f join term t on t.worker_id is not distinct from f.worker_id where s.id = f.id
    returning s.id, s.lease_expires_at
  )
  select g.step_id,
    case when count(r.id) > 0 then 'ok' when count(s.id) > 0 then 'busy' else 'lost' end,
    max(r.lease_expires_at)
  from given g
  left join renewed r on r.id = g.step_id
  left join public.ops_mission_steps s on s.id = g.step_id and s.lease_token = g.token
  group by g.step_id;
end
$$;

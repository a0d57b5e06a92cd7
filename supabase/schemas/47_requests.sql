-- Rate limits of the control plane.

-- Adds p_requests of a caller to the count of the current minute. Answers the count of all instances, and the seconds until the
-- next minute begins it anew.
create function public.ops_count_requests(p_caller text, p_requests integer)
returns table (requests integer, seconds_left double precision)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := ops.now();
  v_minute timestamptz := date_trunc('minute', v_now, 'UTC');
begin
  insert into ops.request_counts as c (caller, minute, requests) values (left(p_caller, 200), v_minute, greatest(p_requests, 0))
  on conflict (caller, minute) do update set requests = c.requests + excluded.requests
  returning c.requests into requests;
  seconds_left := extract(epoch from v_minute + interval '1 minute' - v_now);
  return next;
end
$$;

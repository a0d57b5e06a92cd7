-- The monitor for operators: how each check went, what violates it, and checks of one's own.

-- Every check with how it last went.
create function public.ops_list_checks() returns setof jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object('name', c.name, 'severity', c.severity, 'detects', c.detects, 'shipped', c.shipped, 'wide', c.wide,
    'outcome', r.outcome, 'ran_at', r.ran_at, 'duration_ms', r.duration_ms, 'error', r.error, 'runs', coalesce(r.runs, 0),
    'open', (select count(*) from ops.invariant_violations v where v.check_name = c.name and not v.resolved))
  from ops.all_checks() c left join ops.check_runs r on r.name = c.name
  order by c.shipped desc, c.name
$$;

-- Violations, newest first, at most 200; p_filter {"check_name"?, "resolved"?}, p_after is the last id of the page before.
create function public.ops_list_violations(p_filter jsonb default '{}', p_limit integer default 50, p_after uuid default null) returns setof jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select to_jsonb(v) from ops.invariant_violations v
  where (p_after is null or v.id < p_after)
    and (not p_filter ? 'check_name' or v.check_name = p_filter ->> 'check_name')
    and (not p_filter ? 'resolved' or v.resolved = (p_filter ->> 'resolved')::boolean)
  order by v.id desc limit least(p_limit, 200)
$$;

-- Adds a check of the operator's to policy `invariants`, or puts another definition in its place: what a SQL file with checks calls.
-- The name of a shipped check is refused with OPS_011, and so is what the policy's schema refuses.
create function public.ops_define_check(p_name text, p_severity text, p_description text, p_sql text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy jsonb;
begin
  if exists (select from ops.checks where name = p_name) then
    perform ops.fail('OPS_011', format('"%s" is the name of a shipped check', p_name), 'p_name', 'choose another name');
  end if;
  insert into public.ops_policy (key, value) values ('invariants', '{}') on conflict (key) do nothing;
  select value into v_policy from public.ops_policy where key = 'invariants' for update;
  update public.ops_policy p
  set value = v_policy || jsonb_build_object('checks', coalesce((
      select jsonb_agg(x.value order by x.ordinality) from jsonb_array_elements(coalesce(v_policy -> 'checks', '[]')) with ordinality x
      where x.value ->> 'name' <> p_name), '[]')
    || jsonb_build_object('name', p_name, 'severity', p_severity, 'description', p_description, 'sql', p_sql))
  where p.key = 'invariants';
end
$$;

-- Names of checks are unique, among the operator's own and beside those that are shipped.
create function ops.check_invariants() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_bad record;
begin
  select x.n - 1 as at, x.name, x.shipped into v_bad
  from (select i.n, i.item ->> 'name' as name, exists (select from ops.checks c where c.name = i.item ->> 'name') as shipped,
          row_number() over (partition by i.item ->> 'name' order by i.n) as turn
        from jsonb_array_elements(coalesce(new.value -> 'checks', '[]')) with ordinality i(item, n)) x
  where x.turn > 1 or x.shipped
  order by x.n limit 1;
  if found then
    perform ops.fail('OPS_011', format('policy invariants: checks[%s].name "%s" is %s', v_bad.at, v_bad.name,
        case when v_bad.shipped then 'the name of a shipped check' else 'there twice' end),
      format('checks[%s].name', v_bad.at), 'give each check a name of its own');
  end if;
  return null;
end
$$;
create trigger ops_policy_check_invariants after insert or update on public.ops_policy
  for each row when (new.key = 'invariants') execute function ops.check_invariants();

-- Violations as operators query them, canaries among them as what proves the loop alive.
create view public.invariant_violations with (security_invoker = true) as
  select id, check_name, severity, message, created_at, resolved, subject, details, occurrences, last_seen_at, resolved_at
  from ops.invariant_violations;

-- How each check went when it last ran.
create view public.ops_check_runs with (security_invoker = true) as
  select name, outcome, ran_at, duration_ms, violations, error, runs from ops.check_runs;

-- Approvals: a person's decision on a held proposal. Bound to the digest of exactly what will run, never by the agent
-- that proposed it, once, before it expires. There is no second path to a mission.

-- Locks a proposal and checks that it can still be decided; returns it.
create function ops.proposal_to_decide(p_proposal_id uuid, p_actor text) returns public.ops_mission_proposals
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_proposal public.ops_mission_proposals;
begin
  if coalesce(trim(p_actor), '') = '' then
    perform ops.fail('OPS_011', 'say who decides', 'p_actor', 'pass the name of the person, such as "dana"');
  end if;
  select * into v_proposal from public.ops_mission_proposals where id = p_proposal_id for no key update;
  if not found then
    perform ops.fail('OPS_013', format('there is no proposal %s', p_proposal_id), 'p_proposal_id');
  end if;
  if v_proposal.status <> 'pending' then
    perform ops.fail('OPS_009', format('proposal %s is %s already', p_proposal_id, v_proposal.status), 'status',
      'a proposal is decided once');
  end if;
  return v_proposal;
end
$$;

-- Ends a held proposal without a mission: gives back its place under the caps, its money and its key.
create function ops.close_proposal(p_proposal public.ops_mission_proposals, p_status public.ops_proposal_status, p_actor text, p_reason text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_units ops.cap_unit[] := ops.cap_units(p_proposal.source, p_proposal.pattern_id, p_proposal.template);
begin
  insert into ops.decisions (proposal_id, decision, digest, actor, actor_context, note)
  values (p_proposal.id, p_status::text, p_proposal.digest, p_actor, ops.actor_context(), p_reason);
  update public.ops_mission_proposals
  set status = p_status, code = p_status::text, reason = p_reason, decided_at = ops.now(), decided_by = p_actor,
    cap_day = null, reserved_usd = 0
  where id = p_proposal.id;
  delete from ops.live_keys where dedupe_key = p_proposal.dedupe_key and proposal_id = p_proposal.id;
  perform ops.lock_caps(p_proposal.cap_day);
  perform ops.give_back_caps(p_proposal.cap_day, v_units);
  update ops.root_missions set missions = missions - 1 where root_event_id = p_proposal.root_event_id;
end
$$;

-- Approves a held proposal and starts its mission. `p_digest`, when given, must be the digest that the person saw.
-- A cap without room leaves it pending and answers with that cap's code.
-- Errors: OPS_009 when it was decided before, has expired, was altered, or the proposing agent approves itself;
-- OPS_013 unknown; OPS_015 while approvals are paused.
create function public.ops_approve_proposal(p_proposal_id uuid, p_actor text, p_digest text default null, p_note text default null)
returns table (proposal_id uuid, status text, mission_id uuid, reason text, code text, verdict jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
declare
  v_proposal public.ops_mission_proposals;
  v_verdict jsonb;
  v_day date;
  v_units ops.cap_unit[];
  v_now timestamptz;
begin
  perform ops.require_not_paused('approvals');
  v_proposal := ops.proposal_to_decide(p_proposal_id, p_actor);
  v_now := ops.now(); -- when its turn has come
  v_day := ops.cap_day();
  if v_proposal.expires_at <= v_now then
    perform ops.fail('OPS_009', format('proposal %s expired at %s', p_proposal_id, v_proposal.expires_at), 'expires_at',
      'propose it again');
  end if;
  if lower(trim(p_actor)) = lower(trim(v_proposal.proposed_by)) then
    perform ops.fail('OPS_009', format('%s proposed this and cannot approve it', p_actor), 'p_actor');
  end if;
  if v_proposal.digest <> ops.template_digest(v_proposal.template) or (p_digest is not null and p_digest <> v_proposal.digest) then
    perform ops.fail('OPS_009', 'the template is not the one that was shown', 'p_digest', 'look at the proposal again');
  end if;

  v_units := ops.cap_units(v_proposal.source, v_proposal.pattern_id, v_proposal.template);
  perform ops.lock_caps(least(v_proposal.cap_day, v_day));
  if v_proposal.cap_day = v_day then
    v_verdict := ops.cap_verdict(v_day, v_units, true);
  else
    perform ops.lock_caps(greatest(v_proposal.cap_day, v_day));
    v_verdict := ops.take_caps(v_day, v_units);
    if v_verdict is null then
      perform ops.give_back_caps(v_proposal.cap_day, v_units);
    end if;
  end if;
  if v_verdict is not null then
    return query select v_proposal.id, 'pending', null::uuid, ops.verdict_reason(v_verdict), v_verdict ->> 'code', v_verdict;
    return;
  end if;

  insert into ops.decisions (proposal_id, decision, digest, actor, actor_context, note)
  values (v_proposal.id, 'approved', v_proposal.digest, p_actor, ops.actor_context(), p_note);
  update public.ops_mission_proposals p
  set status = 'approved', code = 'approved', reason = coalesce(p_note, 'approved by ' || p_actor), approved_at = v_now,
    decided_at = v_now, decided_by = p_actor, cap_day = v_day, policy_snapshot = ops.policy_snapshot(),
    verdict = ops.caps_counted(v_day, v_units)
  where p.id = v_proposal.id;
  perform ops.start_mission(v_proposal.id);
  return query select a.* from ops.gate_answer_of(v_proposal.id) a;
end
$$;

-- Rejects a held proposal; also one that has expired, while approvals are paused, or of one's own.
-- Errors: OPS_009 when it was decided before, OPS_013 unknown.
create function public.ops_reject_proposal(p_proposal_id uuid, p_actor text, p_note text default null)
returns table (proposal_id uuid, status text, mission_id uuid, reason text, code text, verdict jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform ops.close_proposal(ops.proposal_to_decide(p_proposal_id, p_actor), 'rejected', p_actor, coalesce(p_note, 'rejected by ' || p_actor));
  return query select a.* from ops.gate_answer_of(p_proposal_id) a;
end
$$;

-- Records the end of held proposals whose time is over, at most p_limit of them. Returns how many.
create function public.ops_expire_proposals(p_limit integer default 500) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_proposals public.ops_mission_proposals[];
  v_proposal public.ops_mission_proposals;
  v_count integer := 0;
begin
  select array_agg(t.p order by (t.p).expires_at, (t.p).id) into v_proposals
  from (select q as p from public.ops_mission_proposals q where q.status = 'pending' and q.expires_at <= ops.now()
        order by q.expires_at, q.id limit p_limit for no key update skip locked) t;
  -- All that the loop will touch, in the order in which gates lock it. Today's counter stands before the root events.
  perform ops.lock_held_keys(array(select p.dedupe_key from unnest(v_proposals) p));
  perform from ops.cap_stripes c
  where c.scope = 'daily' and c.name = '' and c.day in (select p.cap_day from unnest(v_proposals) p union select ops.cap_day())
  order by c.day, c.stripe for no key update;

  foreach v_proposal in array coalesce(v_proposals, '{}') loop
    perform ops.close_proposal(v_proposal, 'expired', 'engine', format('nobody decided before %s', v_proposal.expires_at));
    perform ops.emit_own('proposal:expired', jsonb_build_object('proposal_id', v_proposal.id, 'title', v_proposal.title,
      'source', v_proposal.source), v_proposal.id, coalesce(v_proposal.root_event_id, v_proposal.id), v_proposal.depth + 1);
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;

-- What was proposed is never altered, and a decision is never written by hand: it goes through the functions above.
create function ops.refuse_proposal_edit() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if (new.template, new.digest, new.source, new.pattern_id) is distinct from (old.template, old.digest, old.source, old.pattern_id) then
    perform ops.fail('OPS_014', format('proposal %s cannot be altered', old.id), 'template', 'reject it and propose what you want instead');
  end if;
  if new.status <> old.status and not exists (
    select from ops.decisions d where d.proposal_id = new.id and d.decision = new.status::text)
  then
    perform ops.fail('OPS_014', format('proposal %s cannot be made %s by hand', old.id, new.status), 'status',
      format('select * from ops_approve_proposal(''%s'', ''your name''), or ops_reject_proposal', old.id));
  end if;
  return new;
end
$$;

create trigger ops_mission_proposals_hand_edit before update of status, template, digest, source, pattern_id on public.ops_mission_proposals
  for each row execute function ops.refuse_proposal_edit();

-- Who deleted a held proposal would leave its place under the caps, its money and its key taken for ever.
create function ops.refuse_held_delete() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform ops.fail('OPS_014', format('proposal %s waits for a decision and cannot be deleted', old.id), 'status',
    format('first: select * from ops_reject_proposal(''%s'', ''your name'')', old.id));
  return null;
end
$$;
create trigger ops_mission_proposals_held_delete before delete on public.ops_mission_proposals
  for each row when (old.status = 'pending') execute function ops.refuse_held_delete();

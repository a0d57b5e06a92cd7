-- The demand radar, for the executor and the API: add a signal, move it on, list what is there.

-- Radar. Adding is idempotent for a step: its retry finds what the first attempt added.
-- p_item: {"title", "description"?, "stage"?, "notes"?, "entity"?, "event_type"?, "topic"?, "source_url"?, "evidence_snippet"?,
-- "confidence"?, "impact_areas"?: [text], "curator_name"?}. Errors: OPS_011.
create function public.ops_radar_add(p_item jsonb, p_step_id uuid default null)
returns table (id uuid, stage text, created boolean)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  if coalesce(p_item ->> 'title', '') = '' then
    perform ops.fail('OPS_011', 'a radar item needs a title', 'title');
  end if;
  return query
  insert into public.ops_demand_radar as r (title, description, stage, notes, entity, event_type, topic, source_url, evidence_snippet,
    confidence, impact_areas, curator_name, step_id)
  values (p_item ->> 'title', p_item ->> 'description', coalesce(p_item ->> 'stage', 'watching'), p_item ->> 'notes', p_item ->> 'entity',
    p_item ->> 'event_type', p_item ->> 'topic', p_item ->> 'source_url', p_item ->> 'evidence_snippet', p_item ->> 'confidence',
    array(select jsonb_array_elements_text(coalesce(p_item -> 'impact_areas', '[]'))), p_item ->> 'curator_name', p_step_id)
  on conflict (step_id) do nothing
  returning r.id, r.stage, true;
  if not found then
    return query select r.id, r.stage, false from public.ops_demand_radar r where r.step_id = p_step_id;
  end if;
end
$$;

-- Changes the named fields of a radar item and answers the stage before and after. Errors: OPS_013 unknown item.
create function public.ops_radar_update(p_id uuid, p_changes jsonb)
returns table (id uuid, stage text, previous_stage text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_before text;
begin
  select r.stage into v_before from public.ops_demand_radar r where r.id = p_id for no key update;
  if not found then
    perform ops.fail('OPS_013', format('there is no radar item %s', p_id), 'p_id');
  end if;
  return query
  update public.ops_demand_radar r
  set title = coalesce(p_changes ->> 'title', r.title), description = coalesce(p_changes ->> 'description', r.description),
    stage = coalesce(p_changes ->> 'stage', r.stage), notes = coalesce(p_changes ->> 'notes', r.notes),
    topic = coalesce(p_changes ->> 'topic', r.topic), source_url = coalesce(p_changes ->> 'source_url', r.source_url),
    evidence_snippet = coalesce(p_changes ->> 'evidence_snippet', r.evidence_snippet), confidence = coalesce(p_changes ->> 'confidence', r.confidence)
  where r.id = p_id
  returning r.id, r.stage, v_before;
end
$$;

create function public.ops_radar_list(p_stage text default null, p_limit integer default 50) returns setof jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select to_jsonb(r) from public.ops_demand_radar r
  where p_stage is null or r.stage = p_stage
  order by r.updated_at desc, r.id desc limit least(p_limit, 200)
$$;

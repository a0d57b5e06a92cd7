-- Suggestions: what somebody meant by a name that is not known. The same rule as policies/suggest.ts.

-- Insertions, deletions, replacements and swaps of neighbours that make one word of the other.
create function ops.edit_distance(p_from text, p_to text) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before_last integer[];
  v_last integer[] := array(select generate_series(0, length(p_to)));
  v_current integer[];
  v_cost integer;
begin
  -- Element n of a row is the distance to the first n - 1 characters.
  for i in 1..length(p_from) loop
    v_current := array[i];
    for j in 1..length(p_to) loop
      v_cost := case when substr(p_from, i, 1) = substr(p_to, j, 1) then 0 else 1 end;
      v_current := v_current || least(v_last[j + 1] + 1, v_current[j] + 1, v_last[j] + v_cost,
        case when i > 1 and j > 1 and substr(p_from, i, 1) = substr(p_to, j - 1, 1) and substr(p_from, i - 1, 1) = substr(p_to, j, 1)
          then v_before_last[j - 1] + 1 end);
    end loop;
    v_before_last := v_last;
    v_last := v_current;
  end loop;
  return v_last[length(p_to) + 1];
end
$$;

-- `; did you mean "…"?`, or the list of what is known. A name of more than 100 characters was not mistyped.
create function ops.suggestion(p_name text, p_known text[]) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_meant text;
begin
  if length(p_name) <= 100 then
    select k into v_meant
    from unnest(p_known) with ordinality n(k, place), lateral (select ops.edit_distance(lower(p_name), lower(k)) as distance) d
    where d.distance <= greatest(1, length(p_name) / 3)
    order by d.distance, n.place limit 1;
  end if;
  return case when v_meant is not null then format('; did you mean "%s"?', v_meant)
    else '; known names: ' || coalesce((select string_agg(k, ', ' order by k collate "C") from unnest(p_known) k), 'none') end;
end
$$;

-- Why items of a plan are not eligible, and how many.
SELECT refusal, count(*) FROM plan_item WHERE plan = $1 AND refusal IS NOT NULL GROUP BY refusal

;; Leaves a page behind in each call, and answers well until there is no room for another.
(module
  (@custom "skewless.signature" "{\"abi\":1,\"name\":\"t\",\"inputs\":[{\"name\":\"a\",\"type\":\"float64\",\"nullable\":true},{\"name\":\"b\",\"type\":\"float64\",\"nullable\":true}],\"outputs\":[{\"name\":\"sum\",\"type\":\"float64\",\"nullable\":true}]}")
  (memory (export "memory") 1)

  (func $value (param $a f64) (param $b f64) (result f64) (f64.add (local.get $a) (local.get $b)))

  ;; Input at 4096, output behind it; memory grows when both don't fit.
  (func (export "skewless_reserve") (param $len i32) (result i32)
    (local $pages i32)
    (local.set $pages
      (i32.sub (i32.shr_u (i32.add (i32.mul (local.get $len) (i32.const 2)) (i32.const 73727)) (i32.const 16)) (memory.size)))
    (if (i32.gt_s (local.get $pages) (i32.const 0)) (then (drop (memory.grow (local.get $pages)))))
    (i32.const 4096))

  ;; Whether row $i of the column with descriptor $d is a value, in the batch at $batch.
  (func $valid (param $batch i32) (param $d i32) (param $i i32) (result i32)
    (if (i32.eqz (i32.and (i32.load8_u offset=1 (local.get $d)) (i32.const 1))) (then (return (i32.const 1))))
    (i32.and (i32.const 1) (i32.shr_u
      (i32.load8_u (i32.add (i32.add (local.get $batch) (i32.load offset=8 (local.get $d))) (i32.shr_u (local.get $i) (i32.const 3))))
      (i32.and (local.get $i) (i32.const 7)))))

  (func (export "skewless_transform") (param $in i32) (param $len i32) (result i64)
    (local $n i32) (local $i i32) (local $a i32) (local $b i32) (local $out i32) (local $bit i32) (local $nulls i32)
    (local $bytes i32) (local $values i32) (local $total i32)
    (local.set $n (i32.load offset=8 (local.get $in)))
    (local.set $a (i32.add (local.get $in) (i32.load offset=96 (local.get $in))))
    (local.set $b (i32.add (local.get $in) (i32.load offset=144 (local.get $in))))
    (local.set $out (i32.add (local.get $in) (local.get $len)))
    (local.set $bytes (i32.shr_u (i32.add (local.get $n) (i32.const 7)) (i32.const 3)))
    (local.set $values (i32.and (i32.add (local.get $bytes) (i32.const 191)) (i32.const -64)))
    (local.set $total (i32.and (i32.add (i32.add (local.get $values) (i32.shl (local.get $n) (i32.const 3))) (i32.const 63)) (i32.const -64)))
    (memory.fill (local.get $out) (i32.const 0) (local.get $total))
    (i64.store (local.get $out) (i64.const 0x142574b53)) ;; SKWB, version 1
    (i32.store offset=8 (local.get $out) (local.get $n))
    (i32.store offset=12 (local.get $out) (i32.const 1))
    (i32.store offset=16 (local.get $out) (local.get $total))
    (i32.store offset=64 (local.get $out) (i32.const 0x105)) ;; float64 with validity
    (i32.store offset=72 (local.get $out) (i32.const 128))
    (i32.store offset=76 (local.get $out) (local.get $bytes))
    (i32.store offset=96 (local.get $out) (local.get $values))
    (i32.store offset=100 (local.get $out) (i32.shl (local.get $n) (i32.const 3)))
    (if (i32.eqz (local.get $n)) ;; buffers of nothing are nowhere
      (then (i32.store offset=72 (local.get $out) (i32.const 0)) (i32.store offset=96 (local.get $out) (i32.const 0))))
    (block $none (br_if $none (i32.eqz (local.get $n))) (loop $row
      (if (i32.and (call $valid (local.get $in) (i32.add (local.get $in) (i32.const 64)) (local.get $i))
                   (call $valid (local.get $in) (i32.add (local.get $in) (i32.const 112)) (local.get $i)))
        (then
          (local.set $bit (i32.add (i32.add (local.get $out) (i32.const 128)) (i32.shr_u (local.get $i) (i32.const 3))))
          (i32.store8 (local.get $bit)
            (i32.or (i32.load8_u (local.get $bit)) (i32.shl (i32.const 1) (i32.and (local.get $i) (i32.const 7)))))
          (f64.store (i32.add (i32.add (local.get $out) (local.get $values)) (i32.shl (local.get $i) (i32.const 3)))
            (call $value
              (f64.load (i32.add (local.get $a) (i32.shl (local.get $i) (i32.const 3))))
              (f64.load (i32.add (local.get $b) (i32.shl (local.get $i) (i32.const 3)))))))
        (else (local.set $nulls (i32.add (local.get $nulls) (i32.const 1)))))
      (br_if $row (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n)))))
    (i32.store offset=104 (local.get $out) (local.get $nulls))
    (drop (memory.grow (i32.const 1)))
    (i64.or (i64.shl (i64.extend_i32_u (local.get $out)) (i64.const 32)) (i64.extend_i32_u (local.get $total)))))

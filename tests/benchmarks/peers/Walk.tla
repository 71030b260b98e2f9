-------------------------------- MODULE Walk --------------------------------
(* The same as naive.pml: a bucket of sockets, and an iterator over it that keeps its place as `offset-udp` does, or as `index`. *)
EXTENDS Integers, Sequences

CONSTANTS SOCKETS, SLOTS, OPS, INDEX

VARIABLES
    bucket,     \* socket numbers from head to tail
    idx,        \* of each socket in the bucket, with INDEX; 0: not in it
    ver,
    owed, delivered,
    place,      \* the index of the last socket shown; or the count of sockets seen
    slots, opened, over, ops,
    harms       \* of the last read

vars == <<bucket, idx, ver, owed, delivered, place, slots, opened, over, ops, harms>>

Numbers == 1..SOCKETS
Nothing == -1000
Present == {bucket[i] : i \in DOMAIN bucket}
Free == CHOOSE id \in Numbers \ Present : \A other \in Numbers \ Present : id <= other

Unseen ==
    IF over THEN 0
    ELSE IF INDEX THEN Len(SelectSeq(bucket, LAMBDA id : idx[id] > place))
    ELSE IF Len(bucket) > place THEN Len(bucket) - place ELSE 0

Init ==
    /\ bucket = <<>>
    /\ idx = [id \in Numbers |-> 0]
    /\ ver = 0
    /\ owed = {} /\ delivered = {}
    /\ place = IF INDEX THEN Nothing ELSE 0
    /\ slots = SLOTS
    /\ opened = FALSE /\ over = FALSE
    /\ ops = 0
    /\ harms = {}

Enter(atTail) ==
    /\ Len(bucket) < SOCKETS
    /\ bucket' = IF atTail THEN Append(bucket, Free) ELSE <<Free>> \o bucket
    /\ ver' = IF INDEX THEN ver + 1 ELSE 0
    /\ idx' = [idx EXCEPT ![Free] = IF atTail THEN ver' ELSE -ver']
    /\ UNCHANGED <<owed, delivered, place, slots, opened, over>>

Leave(position) ==
    LET id == bucket[position] IN
    /\ bucket' = SubSeq(bucket, 1, position - 1) \o SubSeq(bucket, position + 1, Len(bucket))
    /\ idx' = [idx EXCEPT ![id] = 0]
    /\ owed' = owed \ {id}
    /\ delivered' = delivered \ {id}
    /\ UNCHANGED <<ver, place, slots, opened, over>>

Open ==
    /\ ~opened
    /\ opened' = TRUE
    /\ owed' = Present
    /\ UNCHANGED <<bucket, idx, ver, delivered, place, slots, over>>

\* Between two allocations a batch is shown; one that is granted makes room for all that is left.
Read(unseen, records, refused) ==
    LET first == Len(bucket) - unseen + 1
        last == first + records - 1
        now == {bucket[i] : i \in first..last}
        want == unseen - refused * slots
    IN
    /\ slots' = IF want > slots /\ records >= refused * slots THEN (want * 3) \div 2 ELSE slots
    /\ over' = (records = unseen)
    /\ place' = IF INDEX THEN idx[bucket[last]] ELSE place + records
    /\ delivered' = delivered \union now
    /\ harms' = IF delivered \intersect now # {} THEN {"repeat"} ELSE {}
    /\ ops' = ops + 1 + refused
    /\ UNCHANGED <<bucket, idx, ver, owed, opened>>

\* Nothing comes after the end of an iteration.
End ==
    /\ harms' = IF owed \subseteq delivered THEN {} ELSE {"skip"}
    /\ harms' # {}
    /\ ops' = ops + 1
    /\ UNCHANGED <<bucket, idx, ver, owed, delivered, place, slots, opened, over>>

Reads ==
    /\ opened
    /\ LET unseen == Unseen IN
       IF unseen = 0 THEN End
       ELSE \E records \in 1..unseen : \E refused \in 0..((unseen - 1) \div slots) :
            /\ refused = 0 \/ records >= (refused - 1) * slots
            /\ ops + 1 + refused <= OPS
            /\ Read(unseen, records, refused)

Next ==
    /\ ops < OPS
    /\ \/ /\ \/ Enter(FALSE)
             \/ Enter(TRUE)
             \/ \E position \in DOMAIN bucket : Leave(position)
             \/ Open
          /\ ops' = ops + 1
          /\ harms' = {}
       \/ Reads

Spec == Init /\ [][Next]_vars

NoSkip == "skip" \notin harms
NoRepeat == "repeat" \notin harms
==============================================================================

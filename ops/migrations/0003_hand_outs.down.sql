DROP TABLE ebbtide.hand_outs;

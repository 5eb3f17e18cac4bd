DROP TABLE ebbtide.certificates;
